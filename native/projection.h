// projection.h: x W + b for every distinct row of the input, and the way back: sums of gradients over the positions
// that share a row, then dW, db and the gradient of the rows.
#pragma once
#include "projection_dropped.h"

namespace UNROLLED_LEVEL {

using unrolled::MatmulArgs;

constexpr int rows_at_once = most_together;

template <template <class> class Cell, class T> struct Projection {
  static constexpr int G = Cell<T>::gates, slots = Cell<T>::slots, W = width<T>;

  static void forward(const ProjectArgs<T> &args) {
    if (args.drop.masks) return DroppedProjection<G, T>::forward(args);
    const int H = args.H, Hp = round_up(H, W), N = G * Hp, D = args.D;
    Scratch<T> panels(size_t(D) * N), bias(N);
    pack_panels<T>(D, N, panels, [&](int v, int k, T *to) {
      const int unit = v / G * W, some = H - unit < W ? H - unit : W;
      const T *from = args.kernel + size_t(k) * G * H + size_t(v % G) * H + unit;
      for (int j = 0; j < some; j++) to[j] = from[j];
      for (int j = some; j < W; j++) to[j] = 0;
    });
    for (int c = 0; c < N; c++) {
      const int unit = c / (G * W) * W + c % W;
      bias[c] = args.bias && unit < H ? args.bias[c / W % G * H + unit] : T(0);
    }
    const auto a_row = [&](int i) { return args.table + size_t(args.rows ? args.rows[i] : i) * args.ld; };
    const auto c_row = [&](int i) { return args.z + size_t(i) * N; };
    unrolled::parallel_for((args.values + rows_at_once - 1) / rows_at_once, [&](int chunk) {
      const int first = chunk * rows_at_once, last = first + rows_at_once;
      multiply_rows<T>(first, last < args.values ? last : args.values, D, N, panels, bias, a_row, c_row);
    });
  }

  // Sums of the stash rows (gradients) over the positions of each value, in the order of x's packed columns.
  static void sum_positions(const ProjectBackwardArgs<T> &args, int Hp, T *sums) {
    constexpr int share = 512;  // positions a task takes, whole values
    const int32_t *bucket = args.plan.bucket, *by_value = args.plan.by_value;
    const int N = G * Hp, values = args.plan.values, positions = bucket[values];
    const auto first_value = [&](int64_t position) {  // first value whose positions start at `position` or later
      int low = 0, high = values;
      while (low < high) {
        const int middle = low + (high - low) / 2;
        if (bucket[middle] < position) low = middle + 1; else high = middle;
      }
      return low;
    };
    const int tasks = positions / share + 1;
    unrolled::parallel_for(tasks, [&](int task) {
      const int first = task == 0 ? 0 : first_value(int64_t(task) * share);
      const int last = task == tasks - 1 ? values : first_value(int64_t(task + 1) * share);
      constexpr int together = 8, ahead = 6;
      for (int v = first; v < last; v++) {
        T *to = sums + size_t(v) * N;
        if (args.frequent && args.plan.frequent[v] >= 0) {
          memcpy(to, args.frequent + size_t(args.plan.frequent[v]) * N, sizeof(T) * N);
          continue;
        }
        const int begin = bucket[v], end = bucket[v + 1];
        for (int j = 0; j < N / W; j += together) {
          Vec<T> sum[together] = {};
          int from[together];
          const int some = N / W - j < together ? N / W - j : together;
          for (int m = 0; m < together; m++) {
            const int column = m < some ? j + m : j;
            from[m] = Cell<T>::x_column(Hp, column / G, column % G);
          }
          for (int p = begin; p < end; p++) {
            const T *d = args.stash + size_t(by_value[p]) * slots * Hp;
            if (j == 0 && p + ahead < positions) prefetch<false>(args.stash + size_t(by_value[p + ahead]) * slots * Hp, slots * Hp);
            for (int m = 0; m < together; m++) sum[m] += load<T>(d + from[m]);
          }
          for (int m = 0; m < some; m++) store<T>(to + (j + m) * W, sum[m]);
        }
      }
    });
  }

  // d_kernel and d_bias from the sums: over all values, in segments that do not depend on the number of threads.
  static void kernel_gradient(const ProjectBackwardArgs<T> &args, int Hp, const T *sums) {
    const int H = args.H, D = args.D, N = G * Hp, values = args.plan.values;
    const size_t size = size_t(D + 1) * N;
    const bool small = size * sizeof(T) <= (512 << 10);
    const int segments = !small ? 1 : values < 1024 ? 1 : values / 512 < 16 ? values / 512 : 16;
    Scratch<T> d(size * segments);
    memset(d, 0, sizeof(T) * size * segments);
    const auto add = [&](T *to, int first, int last, int from, int until) {  // values, columns
      constexpr int chunk = 256;
      const T *a[chunk], *b[chunk];
      for (int v = first; v < last; v += chunk) {
        const int some = last - v < chunk ? last - v : chunk;
        for (int j = 0; j < some; j++) {
          a[j] = args.table + size_t(args.rows ? args.rows[v + j] : v + j) * args.ld;
          b[j] = sums + size_t(v + j) * N + from;
        }
        if (args.d_kernel) outer_product<T>(a, D, b, until - from, some, to + from, N);
        T *bias = to + size_t(D) * N + from;
        for (int j = 0; j < some; j++)
          for (int u = 0; u < until - from; u += W) store<T>(bias + u, load<T>(bias + u) + load<T>(b[j] + u));
      }
    };
    if (small) {
      unrolled::parallel_for(segments, [&](int s) {
        add(d + s * size, int(int64_t(values) * s / segments), int(int64_t(values) * (s + 1) / segments), 0, N);
      });
      for (int s = 1; s < segments; s++)
        for (size_t j = 0; j < size; j++) d[j] += d[s * size + j];
    } else {
      constexpr int panel = 4 * panel_columns * W;
      unrolled::parallel_for((N + panel - 1) / panel, [&](int j) {
        add(d, 0, values, j * panel, (j + 1) * panel < N ? (j + 1) * panel : N);
      });
    }
    for (int k = 0; k <= D; k++) {
      T *to = k < D ? (args.d_kernel ? args.d_kernel + size_t(k) * G * H : nullptr) : args.d_bias;
      if (to == nullptr) continue;
      for (int c = 0; c < N; c++) {
        const int unit = c / (G * W) * W + c % W;
        if (unit < H) to[size_t(c / W % G) * H + unit] = d[size_t(k) * N + c];
      }
    }
  }

  static void backward(const ProjectBackwardArgs<T> &args) {
    const int H = args.H, Hp = round_up(H, W), N = G * Hp, values = args.plan.values, D = args.D;
    Scratch<T> sums(size_t(values) * N);
    sum_positions(args, Hp, sums);
    if (args.drop.masks) return DroppedProjection<G, T>::backward(args, Hp, sums);
    if (args.d_kernel || args.d_bias) kernel_gradient(args, Hp, sums);
    if (!args.d_values) return;
    Scratch<T> panels(size_t(N) * round_up(D, W));
    pack_panels<T>(N, D, panels, [&](int v, int k, T *to) {
      const int unit = k / (G * W) * W + k % W, g = k / W % G;
      for (int j = 0; j < W; j++)
        to[j] = v * W + j < D && unit < H ? args.kernel[size_t(v * W + j) * G * H + g * H + unit] : T(0);
    });
    const auto a_row = [&](int i) { return sums + size_t(i) * N; };
    const auto c_row = [&](int i) { return args.d_values + size_t(i) * args.d_ld; };
    unrolled::parallel_for((values + rows_at_once - 1) / rows_at_once, [&](int chunk) {
      const int first = chunk * rows_at_once, last = first + rows_at_once;
      multiply_rows<T>(first, last < values ? last : values, N, round_up(D, W), panels, nullptr, a_row, c_row);
    });
  }
};

// c = a b, or with transposed a or b; sums over K in one order whatever the threads.
template <class T> static void matmul(const MatmulArgs<T> &args) {
  constexpr int W = width<T>;
  const int M = args.M, N = args.N, K = args.K, padded = round_up(N, W);
  Scratch<T> panels(size_t(K) * padded), turned(args.transpose_a ? size_t(M) * K : 0);
  pack_panels<T>(K, N, panels, [&](int v, int k, T *to) {
    for (int j = 0; j < W; j++) {
      const int n = v * W + j;
      to[j] = n >= N ? T(0) : args.transpose_b ? args.b[size_t(n) * args.ldb + k] : args.b[size_t(k) * args.ldb + n];
    }
  });
  if (args.transpose_a)
    for (int k = 0; k < K; k++)
      for (int m = 0; m < M; m++) turned[size_t(m) * K + k] = args.a[size_t(k) * args.lda + m];
  unrolled::parallel_for((M + rows_at_once - 1) / rows_at_once, [&](int chunk) {
    const int first = chunk * rows_at_once, last = first + rows_at_once < M ? first + rows_at_once : M;
    Scratch<T> out(size_t(rows_at_once) * padded);
    const auto a_row = [&](int i) -> const T * { return args.transpose_a ? turned + size_t(i) * K : args.a + size_t(i) * args.lda; };
    const auto c_row = [&](int i) { return out + size_t(i - first) * padded; };
    multiply_rows<T>(first, last, K, padded, panels, nullptr, a_row, c_row);
    for (int i = first; i < last; i++) memcpy(args.c + size_t(i) * N, out + size_t(i - first) * padded, sizeof(T) * N);
  });
}

template <class T> static void collect(int n, int F, const int32_t *bucket, const int32_t *by_value, const T *d, T *out) {
  constexpr int share = 256;
  unrolled::parallel_for((n + share - 1) / share, [&](int task) {
    const int last = (task + 1) * share < n ? (task + 1) * share : n;
    for (int v = task * share; v < last; v++) {
      T *to = out + size_t(v) * F;
      memset(to, 0, sizeof(T) * F);
      for (int p = bucket[v]; p < bucket[v + 1]; p++) {
        const T *from = d + size_t(by_value[p]) * F;
        for (int j = 0; j < F; j++) to[j] += from[j];
      }
    }
  });
}

}  // namespace UNROLLED_LEVEL
