// product.h: the two products that everything is made of, with accumulators held in registers.
//
//   rows_product:  out[r] = init[r] + a[r] B         a few rows r times a panel of C vectors of columns; what becomes of
//                                                    the sums is up to `finish`, which gets them in registers
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
constexpr int most_together = 96;  // rows that one call takes
constexpr int panel_columns = 4;  // vectors in a full panel

// What becomes of sums: R rows from `first` on, C vectors each.
template <class T> struct StoreRows {
  T *const *out;
  size_t at;
  template <int R, int C> void operator()(int first, Vec<T> (&sum)[R][C]) const {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
      for (int j = 0; j < C; j++) store<T>(out[first + r] + at + j * width<T>, sum[r][j]);
  }
};

template <class T, int C, int R, class F>
static void rows_product_of(int first, const T *const *a, const T *b, int K, const T *const *init, size_t at,
                            const F &finish) {
  constexpr int W = width<T>;
  alignas(64) static const T zeros[C * W] = {};
  Vec<T> sum[R][C];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) {
    const T *from = init ? init[first + r] + at : zeros;
    for (int j = 0; j < C; j++) sum[r][j] = load<T>(from + j * W);
  }
  const T *row[R];
  for (int r = 0; r < R; r++) row[r] = a[first + r];
  for (int k = 0; k < K; k++, b += C * W) {
    Vec<T> w[C];
    for (int j = 0; j < C; j++) w[j] = load<T>(b + j * W);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      const Vec<T> x = all(row[r][k]);
      for (int j = 0; j < C; j++) sum[r][j] += x * w[j];
    }
  }
  finish(first, sum);
}

template <class T, int C, int R, class F>
static void rows_product_n(int n, int first, const T *const *a, const T *b, int K, const T *const *init, size_t at,
                           const F &finish) {
  if constexpr (R == 0) {
    return;
  } else {
    if (n == R) return rows_product_of<T, C, R>(first, a, b, K, init, at, finish);
    rows_product_n<T, C, R - 1>(n, first, a, b, K, init, at, finish);
  }
}

// finish(first, sums) gets init[r][at..] + a[r] B for all of n <= 96 rows, some at a time; b is packed [k][C][W]. A long b is
// cut along k, so that a piece stays in the first cache while all rows pass over it; sums so far then stand in out[r][at..].
template <class T, int C, class F>
static inline void rows_product(int n, const T *const *a, const T *b, int K, const T *const *init, T *const *out,
                                size_t at, const F &finish) {
  constexpr int R = rows_for(C);
  if (n <= R) return rows_product_n<T, C, R>(n, 0, a, b, K, init, at, finish);
  const int depth = K <= 192 ? K : 128;
  const T *here[most_together];
  for (int k = 0; k < K; k += depth, b += size_t(depth) * C * width<T>) {
    const int some = K - k < depth ? K - k : depth;
    if (k) {
      for (int r = 0; r < n; r++) here[r] = a[r] + k;
      init = (const T *const *)out;
    }
    const T *const *from = k ? here : a;
    for (int done = 0, groups = (n + R - 1) / R; done < n; groups--) {
      const int take = (n - done + groups - 1) / groups;
      if (k + some < K)
        rows_product_n<T, C, R>(take, done, from, b, some, init, at, StoreRows<T>{out, at});
      else
        rows_product_n<T, C, R>(take, done, from, b, some, init, at, finish);
      done += take;
    }
  }
}

// The same with out[r][at..] = the sums.
template <class T, int C>
static inline void rows_product(int n, const T *const *a, const T *b, int K, const T *const *init, T *const *out,
                                size_t at) {
  rows_product<T, C>(n, a, b, K, init, out, at, StoreRows<T>{out, at});
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

// Room for the length of a scope: its own if it is small, or a buffer from the process's pool, whose lock takes longer than
// what small products do there.
template <class T> struct Scratch {
  static constexpr size_t small = 2304;  // bytes
  alignas(64) char own[small];
  T *p;
  explicit Scratch(size_t n)
      : p(n <= small / sizeof(T) ? reinterpret_cast<T *>(own) : static_cast<T *>(unrolled::take_buffer(n, sizeof(T)))) {}
  ~Scratch() {
    if (reinterpret_cast<char *>(p) != own) unrolled::give_buffer(p);
  }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  operator T *() const { return p; }
};

// Something that the one task makes and later ones wait for.
struct Made {
  int made = 0;
  void tell() { __atomic_store_n(&made, 1, __ATOMIC_RELEASE); }
  void wait() const {
    while (!__atomic_load_n(&made, __ATOMIC_ACQUIRE)) unrolled::yield();
  }
};

// One panel of up to 4 vectors of columns.
template <class T>
static inline void outer_panel(int C, const T *const *a, int M, const T *const *b, size_t b_at, int K, T *out,
                               size_t ld) {
  switch (C) {
    case 1: return outer_panel<T, 1>(a, M, b, b_at, K, out, ld);
    case 2: return outer_panel<T, 2>(a, M, b, b_at, K, out, ld);
    case 3: return outer_panel<T, 3>(a, M, b, b_at, K, out, ld);
    default: return outer_panel<T, 4>(a, M, b, b_at, K, out, ld);
  }
}

// out (M, N) += sum over k < K of a[k] (M,) times b[k] (N,); N a multiple of W, out's row stride ld.
// Positions are taken in chunks that stay near.
template <class T>
static void outer_product_near(const T *const *a, int M, const T *const *b, int N, int K, T *out, size_t ld) {
  constexpr int full = panel_columns * width<T>, chunk = 128;
  for (int k = 0; k < K; k += chunk)
    for (int n = 0; n < N; n += full)
      outer_panel<T>((N - n < full ? N - n : full) / width<T>, a + k, M, b + k, n, K - k < chunk ? K - k : chunk, out + n, ld);
}

// The same for long rows. They stand a power of two apart, where the first cache has room for a few only: copied side by
// side before.
template <class T>
static void outer_product_far(const T *const *a, int M, const T *const *b, int N, int K, T *out, size_t ld) {
  constexpr int W = width<T>, full = panel_columns * W, chunk = 128;
  const size_t a_ld = size_t(M) + 2 * W - M % W;
  Scratch<T> a_copy(chunk * a_ld), b_copy(chunk * full);
  const T *a_row[chunk], *b_row[chunk];
  for (int k = 0; k < K; k += chunk) {
    const int some = K - k < chunk ? K - k : chunk;
    for (int j = 0; j < some; j++) a_row[j] = (const T *)memcpy(a_copy + j * a_ld, a[k + j], sizeof(T) * M);
    for (int n = 0; n < N; n += full) {
      const int columns = N - n < full ? N - n : full;
      for (int j = 0; j < some; j++)
        b_row[j] = (const T *)memcpy(b_copy + size_t(j) * full, b[k + j] + n, sizeof(T) * columns);
      outer_panel<T>(columns / W, a_row, M, b_row, 0, some, out + n, ld);
    }
  }
}

template <class T>
static void outer_product(const T *const *a, int M, const T *const *b, int N, int K, T *out, size_t ld) {
  return M < 64 ? outer_product_near(a, M, b, N, K, out, ld) : outer_product_far(a, M, b, N, K, out, ld);
}

// out (N,) += the K rows b; N a multiple of W.
template <class T> static inline void add_rows(const T *const *b, int N, int K, T *out) {
  constexpr int W = width<T>;
  for (int k = 0; k < K; k++)
    for (int n = 0; n < N; n += W) store<T>(out + n, load<T>(out + n) + load<T>(b[k] + n));
}

constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }

// out[r] = init[r] + a[r] B for n <= 96 rows, B in panels (K, N); init or null: zeros.
template <class T>
static void panels_product(int n, const T *const *a, int K, int N, const T *panels, const T *const *init, T *const *out) {
  constexpr int W = width<T>;
  for (int at = 0; at < N;) {
    const int columns = (N - at) / W < panel_columns ? (N - at) / W : panel_columns;
    rows_product<T>(columns, n, a, panels + size_t(at) * K, K, init, out, at);
    at += columns * W;
  }
}

// The same for one row, each sum in four parts (k = 0, 4, 8 ..., and so on), so that additions do not wait for each other.
template <class T, int C> static void lone_panel(const T *a, const T *b, int K, const T *init, T *out) {
  constexpr int W = width<T>, parts = 4;
  Vec<T> sum[parts][C] = {};
  for (int j = 0; j < C && init; j++) sum[0][j] = load<T>(init + j * W);
  int k = 0;
  for (; k + parts <= K; k += parts)
    for (int p = 0; p < parts; p++)
      for (int j = 0; j < C; j++) sum[p][j] += all(a[k + p]) * load<T>(b + ((k + p) * C + j) * W);
  for (; k < K; k++)
    for (int j = 0; j < C; j++) sum[0][j] += all(a[k]) * load<T>(b + (k * C + j) * W);
  for (int j = 0; j < C; j++) store<T>(out + j * W, (sum[0][j] + sum[1][j]) + (sum[2][j] + sum[3][j]));
}
template <class T> static void lone_product(const T *a, int K, int N, const T *panels, const T *init, T *out) {
  constexpr int W = width<T>, full = panel_columns * W;
  for (int at = 0; at < N; at += full, panels += size_t(full) * K) {
    const T *from = init ? init + at : nullptr;
    switch ((N - at) / W) {
      case 1: lone_panel<T, 1>(a, panels, K, from, out + at); break;
      case 2: lone_panel<T, 2>(a, panels, K, from, out + at); break;
      case 3: lone_panel<T, 3>(a, panels, K, from, out + at); break;
      default: lone_panel<T, 4>(a, panels, K, from, out + at);
    }
  }
}

// c[i] = init + a[i] B for rows i in [first, last), B in panels (K, N); a_row(i), c_row(i) give pointers. init: a row (N,)
// for all, or null. N is padded to a multiple of W.
template <class T, class A, class C>
static void multiply_rows(int first, int last, int K, int N, const T *panels, const T *init, const A &a_row,
                          const C &c_row) {
  const T *a[most_together], *from[most_together];
  T *to[most_together];
  for (int i = first; i < last; i += most_together) {
    const int n = last - i < most_together ? last - i : most_together;
    for (int r = 0; r < n; r++) a[r] = a_row(i + r), to[r] = c_row(i + r), from[r] = init;
    panels_product<T>(n, a, K, N, panels, init ? from : nullptr, to);
  }
}

}  // namespace UNROLLED_LEVEL
