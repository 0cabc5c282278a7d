// projection.h: x W + b for every distinct row of the input, and the way back: sums of gradients over the positions
// that share a row, then dW, db and the gradient of the rows.
#pragma once
#include "projection_dropped.h"

namespace UNROLLED_LEVEL {

template <template <class> class Cell, class T> struct Projection {
  static constexpr int G = Cell<T>::gates, slots = Cell<T>::slots, W = width<T>;

  // Whether a product of so many rows is worth more than waking a thread.
  static bool large(int rows, int D, int N) { return size_t(rows) * D * N >= (1 << 18); }

  struct Forward : unrolled::Work {
    const ProjectArgs<T> args;
    const int H = args.H, N = G * round_up(H, W), D = args.D;
    // Where the kernel stays in the first cache, few rows at a time: what they read, anywhere in the table, and where they
    // write is asked for just before.
    const int at_once = size_t(D) * N * sizeof(T) <= (32 << 10) ? 24 : most_together;
    const Scratch<T> panels{size_t(D) * N}, bias{size_t(N)};
    Made packed;

    explicit Forward(const ProjectArgs<T> &given) : args(given) { tasks = (args.values + at_once - 1) / at_once; }
    void task(int chunk) override {
      if (chunk == 0) {
        pack_in_panels<T>(args.kernel, D, {H, G, 0, G}, panels);
        pack_row<T>(args.bias, {H, G, 0, G}, bias);
        packed.tell();
      }
      const auto a_row = [&](int i) { return args.table + size_t(args.rows ? args.rows[i] : i) * args.ld; };
      const auto c_row = [&](int i) { return args.z + size_t(i) * N; };
      const int first = chunk * at_once, last = first + at_once < args.values ? first + at_once : args.values;
      for (int i = first; i < last; i++) {
        prefetch(a_row(i), D);
        prefetch<true>(c_row(i), N);
      }
      packed.wait();
      multiply_rows<T>(first, last, D, N, panels, bias, a_row, c_row);
    }
    bool large() const { return Projection::large(args.values, D, N); }
  };

  static void forward(const ProjectArgs<T> &args) {
    if (args.drop.masks) return DroppedProjection<G, T>::forward(args);
    Forward work(args);
    unrolled::parallel_if(work.large(), work.tasks, [&](int chunk) { work.task(chunk); });
  }

  // ---- backward ----

  const ProjectBackwardArgs<T> &args;
  const int H = args.H, Hp = round_up(H, W), N = G * Hp, D = args.D, values = args.plan.values;
  const bool near = size_t(D + 1) * N * sizeof(T) <= (512 << 10);  // d_kernel stays near: a sum for each part of the values

  const T *table_row(int v) const { return args.table + size_t(args.rows ? args.rows[v] : v) * args.ld; }

  // sums (last - first, N): of the stash rows (gradients) over the positions of each value, in the order of x's columns.
  void sum_positions(int first, int last, T *sums) const {
    for (int v = first; v < last && args.d_z; v++)
      pack_row<T>(args.d_z + size_t(v) * G * H, {H, G, 0, G}, sums + size_t(v - first) * N);
    if (args.d_z) return;
    if (args.first_row) return sum_gathered(first, last, sums);
    const int32_t *bucket = args.plan.bucket, *by_value = args.plan.by_value;
    const int positions = bucket[values];
    constexpr int together = 8, ahead = 12;
    for (int v = first; v < last; v++, sums += N) {
      if (args.frequent && args.plan.frequent[v] >= 0) {
        memcpy(sums, args.frequent + size_t(args.plan.frequent[v]) * N, sizeof(T) * N);
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
          if (j == 0 && p + ahead < positions)
            prefetch<true>(args.stash + size_t(by_value[p + ahead]) * slots * Hp, slots * Hp);
          for (int m = 0; m < together; m++) sum[m] += load<T>(d + from[m]);
        }
        for (int m = 0; m < some; m++) store<T>(sums + (j + m) * W, sum[m]);
      }
    }
  }

  // The same of rows that stand in the order of values.
  void sum_gathered(int first, int last, T *sums) const {
    constexpr int together = 8, ahead = 12;
    for (int v = first; v < last; v++, sums += N) {
      const T *begin = args.stash + size_t(args.first_row[v]) * N, *end = args.stash + size_t(args.first_row[v + 1]) * N;
      for (int j = 0; j < N; j += together * W) {
        const int some = N - j < together * W ? (N - j) / W : together;
        Vec<T> sum[together] = {};
        for (const T *d = begin + j; d < end; d += N) {
          prefetch<true>(d + ahead * N, some * W);
          for (int m = 0; m < together; m++) sum[m] += load<T>(d + (m < some ? m : 0) * W);
        }
        for (int m = 0; m < some; m++) store<T>(sums + j + m * W, sum[m]);
      }
    }
  }

  // The sums of all values, shared out by positions, whole values to a task.
  void sum_all(T *sums) const {
    if (args.d_z) return sum_positions(0, values, sums);
    constexpr int share = 512;
    const int32_t *bucket = args.first_row ? args.first_row : args.plan.bucket;
    const auto first_value = [&](int64_t position) {  // first value whose positions start at `position` or later
      int low = 0, high = values;
      while (low < high) {
        const int middle = low + (high - low) / 2;
        if (bucket[middle] < position) low = middle + 1; else high = middle;
      }
      return low;
    };
    const int tasks = bucket[values] / share + 1;
    unrolled::parallel_for(tasks, [&](int task) {
      const int first = task == 0 ? 0 : first_value(int64_t(task) * share);
      const int last = task == tasks - 1 ? values : first_value(int64_t(task + 1) * share);
      sum_positions(first, last, sums + size_t(first) * N);
    });
  }

  // d (D+1, N): adds what values [first, last) give to columns [from, until) of d_kernel and, in the last row, of d_bias.
  // sums: their sums, from value `first` on.
  void add_kernel_gradient(int first, int last, const T *sums, int from, int until, T *d) const {
    constexpr int chunk = 256;
    const T *a[chunk], *b[chunk];
    for (int v = first; v < last; v += chunk) {
      const int some = last - v < chunk ? last - v : chunk;
      for (int j = 0; j < some; j++) {
        a[j] = table_row(v + j);
        b[j] = sums + size_t(v - first + j) * N + from;
      }
      if (args.d_kernel) outer_product<T>(a, D, b, until - from, some, d + from, N);
      if (args.d_bias) add_rows<T>(b, until - from, some, d + size_t(D) * N + from);
    }
  }

  // d_values of values [first, last).
  void input_gradient(int first, int last, const T *sums, const T *panels) const {
    const auto a_row = [&](int i) { return sums + size_t(i - first) * N; };
    const auto c_row = [&](int i) { return args.d_values + size_t(i) * args.d_ld; };
    multiply_rows<T>(first, last, N, round_up(D, W), panels, nullptr, a_row, c_row);
  }

  // Everything of a few values while their sums are in the first caches. Parts do not depend on the number of threads.
  struct Parts : unrolled::Work {
    const ProjectBackwardArgs<T> args;
    const Projection way{args};
    const int N = way.N, D = way.D, values = way.values;
    const Scratch<T> panels{way.panels_size()}, d{size_t(D + 1) * N * parts_of(values)};

    Made packed;

    explicit Parts(const ProjectBackwardArgs<T> &given) : args(given) { tasks = parts_of(values); }
    void task(int part) override {
      constexpr int few = 32;
      if (part == 0) way.pack(panels), packed.tell();
      T *own = d + size_t(part) * (D + 1) * N;
      memset(own, 0, sizeof(T) * (D + 1) * N);
      Scratch<T> sums(size_t(few) * N);
      const int until = int(int64_t(values) * (part + 1) / tasks);
      for (int v = int(int64_t(values) * part / tasks); v < until; v += few) {
        const int last = v + few < until ? v + few : until;
        for (int i = v; i < last; i++) {
          prefetch(way.table_row(i), D);
          if (args.d_values) prefetch<true>(args.d_values + size_t(i) * args.d_ld, D);
        }
        way.sum_positions(v, last, sums);
        way.add_kernel_gradient(v, last, sums, 0, N, own);
        packed.wait();
        if (args.d_values) way.input_gradient(v, last, sums, panels);
      }
    }
    void end() override {
      for (int part = 1; part < tasks; part++)
        for (size_t j = 0; j < size_t(D + 1) * N; j++) d[j] += d[size_t(part) * (D + 1) * N + j];
      way.unpack(d);
    }
    bool large() const { return Projection::large(values, D, N); }
  };

  // Large layers: the sums of all values first; d_kernel is cut by columns.
  void by_columns(const T *panels, T *d) const {
    Scratch<T> sums(size_t(values) * N);
    sum_all(sums);
    memset(d, 0, sizeof(T) * (D + 1) * N);
    constexpr int panel = 4 * panel_columns * W;
    unrolled::parallel_for((N + panel - 1) / panel, [&](int j) {
      add_kernel_gradient(0, values, sums, j * panel, (j + 1) * panel < N ? (j + 1) * panel : N, d);
    });
    if (!args.d_values) return;
    unrolled::parallel_for((values + most_together - 1) / most_together, [&](int chunk) {
      const int first = chunk * most_together, last = first + most_together;
      input_gradient(first, last < values ? last : values, sums + size_t(first) * N, panels);
    });
  }

  size_t panels_size() const { return args.d_values ? size_t(N) * round_up(D, W) : 0; }
  void pack(T *panels) const {
    if (args.d_values) pack_transposed<T>(args.kernel, D, {H, G, 0, G}, panels);
  }
  void unpack(const T *d) const {
    for (int k = 0; k < D && args.d_kernel; k++)
      unpack_row<T>(d + size_t(k) * N, {H, G, 0, G}, args.d_kernel + size_t(k) * G * H);
    if (args.d_bias) unpack_row<T>(d + size_t(D) * N, {H, G, 0, G}, args.d_bias);
  }

  void run() const {
    if (args.drop.masks) {
      Scratch<T> sums(size_t(values) * N);
      sum_all(sums);
      return DroppedProjection<G, T>::backward(args, Hp, sums);
    }
    if (near) {
      Parts work(args);
      unrolled::parallel_if(work.large(), work.tasks, [&](int part) { work.task(part); });
      return work.end();
    }
    Scratch<T> panels(panels_size()), d(size_t(D + 1) * N);
    pack(panels);
    by_columns(panels, d);
    unpack(d);
  }

  static void backward(const ProjectBackwardArgs<T> &args) { Projection{args}.run(); }

  // Work that is not started yet, or null: then there is too little of it, or of another kind, to go on later.
  static unrolled::Work *forward_later(const ProjectArgs<T> &args) {
    return args.drop.masks || !large(args.values, args.D, G * round_up(args.H, W)) ? nullptr : new Forward(args);
  }
  static unrolled::Work *backward_later(const ProjectBackwardArgs<T> &args) {
    const Projection way{args};
    return args.drop.masks || !way.near || !large(way.values, way.D, way.N) ? nullptr : new Parts(args);
  }
};

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
