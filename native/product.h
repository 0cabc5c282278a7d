// product.h: the two products that everything is made of, with accumulators held in registers.
//
//   rows_product:  out[r] = init[r] + a[r] B         a few rows r times a panel of C vectors of columns
//   outer_product: out[m] += sum_k a[k][m] b[k]      over many positions k
//
// The order of summation within one entry is k = 0, 1, 2 ... whatever the grouping of rows.
#pragma once
#include "simd.h"
#include "threads.h"

namespace UNROLLED_LEVEL {

// How many rows go together with C columns of vectors so that accumulators, weights and a broadcast fit the registers.
constexpr int rows_for(int columns) {
  constexpr int room = UNROLLED_REGISTERS == 32 ? 24 : 12;
  int rows = room / columns;
  return rows > 12 ? 12 : rows;
}
constexpr int most_rows = 12;
constexpr int panel_columns = UNROLLED_REGISTERS == 32 ? 4 : 4;  // vectors in a full panel

template <class T, int C, int R>
static void rows_product_of(const T *const *a, const T *b, int K, const T *const *init, T *const *out, size_t at) {
  constexpr int W = width<T>;
  alignas(64) static const T zeros[C * W] = {};
  Vec<T> sum[R][C];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) {
    const T *from = init ? init[r] + at : zeros;
    for (int j = 0; j < C; j++) sum[r][j] = load<T>(from + j * W);
  }
  for (int k = 0; k < K; k++, b += C * W) {
    Vec<T> w[C];
    for (int j = 0; j < C; j++) w[j] = load<T>(b + j * W);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      const Vec<T> x = all(a[r][k]);
      for (int j = 0; j < C; j++) sum[r][j] += x * w[j];
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) {
    T *to = out[r] + at;
    for (int j = 0; j < C; j++) store<T>(to + j * W, sum[r][j]);
  }
}

template <class T, int C, int R>
static void rows_product_n(int n, const T *const *a, const T *b, int K, const T *const *init, T *const *out, size_t at) {
  if constexpr (R == 0) {
    return;
  } else {
    if (n == R) return rows_product_of<T, C, R>(a, b, K, init, out, at);
    rows_product_n<T, C, R - 1>(n, a, b, K, init, out, at);
  }
}

// out[r][at..] = init[r][at..] + a[r] B for n rows; b is packed [k][C][W].
template <class T, int C>
static inline void rows_product(int n, const T *const *a, const T *b, int K, const T *const *init, T *const *out,
                                size_t at) {
  constexpr int R = rows_for(C);
  for (int groups = (n + R - 1) / R; n > 0; groups--) {
    const int take = (n + groups - 1) / groups;
    rows_product_n<T, C, R>(take, a, b, K, init, out, at);
    n -= take;
    a += take;
    out += take;
    if (init) init += take;
  }
}

template <class T>
static inline void rows_product(int C, int n, const T *const *a, const T *b, int K, const T *const *init,
                                T *const *out, size_t at) {
  switch (C) {
    case 1: return rows_product<T, 1>(n, a, b, K, init, out, at);
    case 2: return rows_product<T, 2>(n, a, b, K, init, out, at);
    case 3: return rows_product<T, 3>(n, a, b, K, init, out, at);
    default: return rows_product<T, 4>(n, a, b, K, init, out, at);
  }
}

// out[m][j] += sum_k a[k][m] b[k][j] for R rows m and C vectors j.
template <class T, int C, int R>
static void outer_product_of(const T *const *a, size_t a_at, const T *const *b, size_t b_at, int K, T *out,
                             size_t ld) {
  constexpr int W = width<T>;
  Vec<T> sum[R][C];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
    for (int j = 0; j < C; j++) sum[r][j] = load<T>(out + r * ld + j * W);
  for (int k = 0; k < K; k++) {
    const T *x = a[k] + a_at, *y = b[k] + b_at;
    Vec<T> w[C];
    for (int j = 0; j < C; j++) w[j] = load<T>(y + j * W);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      const Vec<T> v = all(x[r]);
      for (int j = 0; j < C; j++) sum[r][j] += v * w[j];
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
    for (int j = 0; j < C; j++) store<T>(out + r * ld + j * W, sum[r][j]);
}

template <class T, int C, int R>
static void outer_product_n(int n, const T *const *a, size_t a_at, const T *const *b, size_t b_at, int K, T *out,
                            size_t ld) {
  if constexpr (R == 0) {
    return;
  } else {
    if (n == R) return outer_product_of<T, C, R>(a, a_at, b, b_at, K, out, ld);
    outer_product_n<T, C, R - 1>(n, a, a_at, b, b_at, K, out, ld);
  }
}

template <class T, int C>
static inline void outer_panel(const T *const *a, int M, const T *const *b, size_t b_at, int K, T *out, size_t ld) {
  constexpr int R = rows_for(C);
  for (int m = 0, groups = (M + R - 1) / R; m < M; groups--) {
    const int take = (M - m + groups - 1) / groups;
    outer_product_n<T, C, R>(take, a, m, b, b_at, K, out + m * ld, ld);
    m += take;
  }
}

// out (M, N) += sum over k < K of a[k] (M,) times b[k] (N,); N a multiple of W, out's row stride ld.
// Positions are taken in chunks that stay near; a large out is visited less often.
template <class T>
static void outer_product(const T *const *a, int M, const T *const *b, int N, int K, T *out, size_t ld) {
  constexpr int W = width<T>;
  const int chunk = size_t(M) * N * sizeof(T) > (1 << 18) ? 256 : 64;
  for (int k = 0; k < K; k += chunk) {
    const int some = K - k < chunk ? K - k : chunk;
    for (int n = 0; n < N;) {
      const int columns = (N - n) / W < panel_columns ? (N - n) / W : panel_columns;
      switch (columns) {
        case 1: outer_panel<T, 1>(a + k, M, b + k, n, some, out + n, ld); break;
        case 2: outer_panel<T, 2>(a + k, M, b + k, n, some, out + n, ld); break;
        case 3: outer_panel<T, 3>(a + k, M, b + k, n, some, out + n, ld); break;
        default: outer_panel<T, 4>(a + k, M, b + k, n, some, out + n, ld); break;
      }
      n += columns * W;
    }
  }
}

// A buffer from the process's pool; freed with the scope.
template <class T> struct Scratch {
  T *p;
  explicit Scratch(size_t n) : p(static_cast<T *>(unrolled::take_buffer(n + 1, sizeof(T)))) {}
  ~Scratch() { unrolled::give_buffer(p); }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  operator T *() const { return p; }
};

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

// A matrix (K, N) cut into panels of up to 4 vectors of columns, each stored [k][C][W], columns padded with zeros to a
// multiple of W. fill(v, k, lanes) writes the W entries of vector column v at row k.
template <class T, class F> static void pack_panels(int K, int N, T *out, const F &fill) {
  constexpr int W = width<T>;
  const int vectors = (N + W - 1) / W, panels = (vectors + panel_columns - 1) / panel_columns;
  unrolled::parallel_for(panels, [&](int panel) {
    const int first = panel * panel_columns;
    const int columns = vectors - first < panel_columns ? vectors - first : panel_columns;
    T *to = out + size_t(first) * W * K;
    for (int k = 0; k < K; k++)
      for (int j = 0; j < columns; j++, to += W) fill(first + j, k, to);
  });
}

// c[i] = init + a[i] B for rows i in [first, last), B in panels (K, N); a_row(i), c_row(i) give pointers. init: a row (N,)
// for all, or null. N is padded to a multiple of W. A panel is cut along K so that a piece stays in the first cache while
// many rows pass over it.
template <class T, class A, class C>
static void multiply_rows(int first, int last, int K, int N, const T *panels, const T *init, const A &a_row,
                          const C &c_row) {
  constexpr int W = width<T>, most = 96;
  const int depth = K <= 192 ? K : 128;
  const T *a[most], *from[most], *begin[most];
  T *to[most];
  for (int i = first; i < last; i += most) {
    const int n = last - i < most ? last - i : most;
    for (int r = 0; r < n; r++) a[r] = a_row(i + r), to[r] = c_row(i + r), from[r] = init;
    for (int at = 0; at < N;) {
      const int columns = (N - at) / W < panel_columns ? (N - at) / W : panel_columns;
      const T *panel = panels + size_t(at) * K;
      for (int k = 0; k < K; k += depth) {
        const int some = K - k < depth ? K - k : depth;
        for (int r = 0; r < n; r++) begin[r] = a[r] + k;
        const T *const *start = k ? (const T *const *)to : init ? from : nullptr;
        rows_product<T>(columns, n, begin, panel + size_t(k) * columns * W, some, start, to, at);
      }
      at += columns * W;
    }
  }
}

}  // namespace UNROLLED_LEVEL
