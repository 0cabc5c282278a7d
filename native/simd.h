// simd.h: a vector of W lanes of T for the instruction set that this file is compiled for.
// GCC/Clang vector types: the same source serves x86-64, AVX2, AVX-512 and ARM. Intrinsics only where compilers do not
// find the instruction.
// Everything lives in a namespace named after the level, so that no code of a higher level can be
// picked by the linker for a lower one (for the same reason kernels use no std templates).
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef UNROLLED_LEVEL
#define UNROLLED_LEVEL baseline
#endif

#if defined(__AVX512F__)
#define UNROLLED_VECTOR_BYTES 64
#define UNROLLED_REGISTERS 32
#elif defined(__AVX2__)
#define UNROLLED_VECTOR_BYTES 32
#define UNROLLED_REGISTERS 16
#elif defined(__aarch64__)
#define UNROLLED_VECTOR_BYTES 16
#define UNROLLED_REGISTERS 32
#else
#define UNROLLED_VECTOR_BYTES 16
#define UNROLLED_REGISTERS 16
#endif

namespace UNROLLED_LEVEL {

template <class T> struct Lanes;
template <> struct Lanes<float> {
  typedef float vector __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
  typedef float loose __attribute__((vector_size(UNROLLED_VECTOR_BYTES), aligned(4), may_alias));
  typedef int32_t integers __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
  static constexpr int W = UNROLLED_VECTOR_BYTES / 4;
};
template <> struct Lanes<double> {
  typedef double vector __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
  typedef double loose __attribute__((vector_size(UNROLLED_VECTOR_BYTES), aligned(8), may_alias));
  typedef int64_t integers __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
  static constexpr int W = UNROLLED_VECTOR_BYTES / 8;
};

template <class T> using Vec = typename Lanes<T>::vector;
template <class T> constexpr int width = Lanes<T>::W;

template <class T> static inline Vec<T> load(const T *p) { return *(const typename Lanes<T>::loose *)p; }
template <class T> static inline void store(T *p, Vec<T> v) { *(typename Lanes<T>::loose *)p = v; }
// Past the caches, for what is not read again soon; p at a multiple of a vector. Afterwards, before another thread may read
// it: streamed().
template <class T> static inline void stream(T *p, Vec<T> v) {
#if defined(__AVX512F__)
  _mm512_stream_si512((__m512i *)p, (__m512i)v);
#elif defined(__AVX2__)
  _mm256_stream_si256((__m256i *)p, (__m256i)v);
#elif defined(__x86_64__)
  _mm_stream_si128((__m128i *)p, (__m128i)v);
#else
  store<T>(p, v);
#endif
}
static inline void streamed() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// x in every lane. Written as x - 0, which is x for every x; 0 + x is not, for -0, and would cost an addition.
template <class T> static inline Vec<T> all(T x) { return x - Vec<T>{}; }

// Asks for a row of n entries. Rows of a large table are read far apart or backwards, which no processor guesses by itself.
// Into the first cache what is needed next; into the second (`far`) what is needed some steps later, for the first has no
// room to keep it.
// Always inline: GCC takes a function that only asks for memory for one without effect, and drops calls of it.
template <bool far = false, class T> __attribute__((always_inline)) static inline void prefetch(const T *row, size_t n) {
  const char *p = (const char *)row;
  const size_t bytes = n * sizeof(T) < 1024 ? n * sizeof(T) : 1024;
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(p + at, 0, far ? 2 : 3);
}

// Smaller and larger of a bound and x; a NaN in x stays NaN: bound < x ? bound : x is what x86's minimum does, and what no
// compiler makes it of without leave to forget NaN.
template <class T> static inline Vec<T> at_most(Vec<T> x, T bound) { return all(bound) < x ? all(bound) : x; }
template <class T> static inline Vec<T> at_least(Vec<T> x, T bound) { return all(bound) > x ? all(bound) : x; }
#define UNROLLED_BOUNDS(T, smaller, larger)                                            \
  template <> inline Vec<T> at_most(Vec<T> x, T bound) { return smaller(all(bound), x); } \
  template <> inline Vec<T> at_least(Vec<T> x, T bound) { return larger(all(bound), x); }
#if defined(__AVX512F__)  // the plain forms of these warn in GCC's own header
static inline Vec<float> smaller_of(Vec<float> a, Vec<float> b) { return _mm512_mask_min_ps(b, __mmask16(-1), a, b); }
static inline Vec<float> larger_of(Vec<float> a, Vec<float> b) { return _mm512_mask_max_ps(b, __mmask16(-1), a, b); }
static inline Vec<double> smaller_of(Vec<double> a, Vec<double> b) { return _mm512_mask_min_pd(b, __mmask8(-1), a, b); }
static inline Vec<double> larger_of(Vec<double> a, Vec<double> b) { return _mm512_mask_max_pd(b, __mmask8(-1), a, b); }
UNROLLED_BOUNDS(float, smaller_of, larger_of)
UNROLLED_BOUNDS(double, smaller_of, larger_of)
#elif defined(__AVX2__)
UNROLLED_BOUNDS(float, _mm256_min_ps, _mm256_max_ps)
UNROLLED_BOUNDS(double, _mm256_min_pd, _mm256_max_pd)
#elif defined(__x86_64__)
UNROLLED_BOUNDS(float, _mm_min_ps, _mm_max_ps)
UNROLLED_BOUNDS(double, _mm_min_pd, _mm_max_pd)
#endif
#undef UNROLLED_BOUNDS

// tanh(x) = x P(x^2) / Q(x^2) on |x| <= 7.9, where float tanh is within 3e-7 of 1. Coefficients: our own
// minimax fit (iteratively reweighted least squares); error 3e-7 relative, that of rounding.
static inline Vec<float> tanh_of(Vec<float> x) {
  x = at_least<float>(at_most<float>(x, 7.9f), -7.9f);
  Vec<float> u = x * x;
  Vec<float> p = all(1.5428220478952426e-08f) * u + 2.202342147938907e-05f;
  Vec<float> q = all(8.598880754107086e-07f) * u + 0.0003423668094910681f;
  p = p * u + 0.0035790028050541878f;
  q = q * u + 0.026192279532551765f;
  p = p * u + 0.13450630009174347f;
  q = q * u + 0.4678395688533783f;
  p = p * u + 1.0f;
  q = q * u + 1.0f;
  return x * p / q;
}

// sigmoid(x) = 1 / (1 + 2^n 2^r), n + r = -x / ln 2, n whole, |r| <= 1/2. With y = r ln(2)/2, 2^r = (1 + tanh y) / (1 - tanh y)
// and tanh y = y (15 + y^2) / (15 + 6 y^2) within 6e-9: 2^r = (even + odd) / (even - odd), a division for all of it.
// Error 9e-8; of the value itself 2e-7 down to x = -8, 1.3e-6 at the bounds. NaN passes through.
static inline Vec<float> sigmoid_of(Vec<float> x) {
  typedef Lanes<float>::integers Bits;
  const float octaves = -1.44269504088896341f, half_ln2 = 0.34657359027997265f;
  const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number in the low bits
  x = at_least<float>(at_most<float>(x, 80.0f), -80.0f);
  const Vec<float> shifted = x * octaves + shift, r = x * octaves - (shifted - shift), s = r * r;
  const Vec<float> odd = r * (s * (half_ln2 / 6) + 2.5f / half_ln2), even = s + 2.5f / (half_ln2 * half_ln2);
  const Vec<float> up = even + odd, down = even - odd;
  return down / (down + (Vec<float>)((Bits)up + ((Bits)shifted << 23)));
}

// exp(x) = 2^n exp(r), |r| <= ln(2)/2, Taylor series to r^13 (remainder 4e-18): exp(r) - 1, and the bits that n adds.
static inline Vec<double> exp_part(Vec<double> x, Lanes<double>::integers &bits) {
  x = at_least<double>(at_most<double>(x, 708.0), -708.0);
  const double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer in the low bits
  Vec<double> k = x * 1.4426950408889634 + shift;
  bits = (Lanes<double>::integers)k << 52;
  k = k - shift;
  Vec<double> r = x - k * 0.693145751953125;
  r = r - k * 1.42860682030941723212e-6;
  Vec<double> p = all(1.0 / 6227020800.0);
  static const double inverse_factorial[] = {1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
                                             1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,     1.0 / 120.0,
                                             1.0 / 24.0,        1.0 / 6.0,        0.5,             1.0};
  for (double c : inverse_factorial) p = p * r + c;
  return p * r;
}
static inline Vec<double> exp_of(Vec<double> x) {
  Lanes<double>::integers bits;
  const Vec<double> p = exp_part(x, bits) + 1.0;
  return (Vec<double>)((Lanes<double>::integers)p + bits);
}
// exp(x) - 1, with all digits near 0.
static inline Vec<double> exp_minus_1(Vec<double> x) {
  Lanes<double>::integers bits;
  const Vec<double> p = exp_part(x, bits), power = (Vec<double>)((Lanes<double>::integers)all(1.0) + bits);
  return p * power + (power - 1.0);
}
static inline Vec<double> keep_nan(Vec<double> x, Vec<double> y) { return x == x ? y : x; }
static inline Vec<double> tanh_of(Vec<double> x) {
  const Vec<double> e = exp_minus_1(at_least<double>(at_most<double>(x, 20.0), -20.0) * 2.0);
  return keep_nan(x, e / (e + 2.0));
}
static inline Vec<double> sigmoid_of(Vec<double> x) { return keep_nan(x, 1.0 / (1.0 + exp_of(-x))); }

}  // namespace UNROLLED_LEVEL
