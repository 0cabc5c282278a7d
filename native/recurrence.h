// recurrence.h: the one time loop, forward; recurrence_backward.h has the way back. Rows are cut into blocks (never by the
// number of threads, so that sums are the same for any); a block runs its rows step by step, longest first, rows dropping out
// as they end.
#pragma once
#include "cells/cell.h"
#include "dropout.h"

namespace UNROLLED_LEVEL {

constexpr int most_block = 32;


// Rows of a block: as many as the registers take when the weights stay in the first cache; more when weights come from
// farther away, so that what is fetched serves more rows; fewer when there would be too few blocks to share out.
// together: gates that go through the registers at once.
template <class T> static int block_count(int rows, int H, int gates, int together) {
  const size_t bytes = size_t(H) * H * gates * sizeof(T);
  const int fit = rows_for(together);
  int most = unrolled::kernel_is_near<T>(H, gates) ? fit : bytes <= (512 << 10) ? 2 * fit : most_block;
  if (most > most_block) most = most_block;
  const int parts = bytes <= (512 << 10) ? 4 : 2;
  const int few = (rows + parts - 1) / parts;
  if (most > few) most = few < 1 ? 1 : few;
  return (rows + most - 1) / most;
}

// In how many groups, some after others, the rows of a block go forward and back: of a few rows the second cache holds what
// they keep for the way back. Fewer than three would not hide each other's latency.
template <class T> static int groups_of(int rows, int H, int gates) {
  return unrolled::kernel_is_near<T>(H, gates) && rows >= 5 ? 2 : 1;
}

// Whether rows of so many bytes are asked for: processors notice by themselves that they read on through long ones.
static inline bool asks_ahead(size_t bytes) { return bytes <= 2048; }

static inline int share(int rows, int block, int blocks) { return int(int64_t(rows) * block / blocks); }

// A run: consecutive positions of one row (or of the shared prefix) from a state row on.
struct Run {
  int position, length, start;
};
static inline Run own_run(const PlanView &plan, int q) {
  return {plan.prefix + plan.offset[q], plan.offset[q + 1] - plan.offset[q], plan.start[q]};
}
static inline Run prefix_run(const PlanView &plan) { return {0, plan.prefix, 1 + plan.prefix + plan.own}; }

// Where the steps of a group's rows are kept, from its first position on; null: where positions of the whole batch stand.
template <class T> struct OwnSteps {
  T *h = nullptr, *c = nullptr;  // states after each position
  T *stash = nullptr;
};

// The recurrent kernels in the order that a pass reads: for the way back transposed.
template <template <class> class Cell, class T> struct PackedWeights {
  static constexpr int G = Cell<T>::gates, W = width<T>;
  Scratch<T> first, second, bias;
  Weights<T> w;
  PackedWeights(const T *U, const T *recurrent_bias, int H, Activation a, Activation ra, bool back, bool apart)
      : first(size_t(G) * round_up(H, W) * round_up(H, W)),
        second(size_t(round_up(H, W)) * round_up(H, W)),
        bias(size_t(G) * round_up(H, W)) {
    w = {H, round_up(H, W), first, second, nullptr, apart, a, ra};
    Cell<T>::pack(U, w, back, first, second);
    if (recurrent_bias) {
      pack_row<T>(recurrent_bias, {H, G, 0, G}, bias);
      w.bias = bias;
    }
  }
};

// The pass forward.
template <template <class> class Cell, class T> struct Recurrence {
  static constexpr int G = Cell<T>::gates, slots = Cell<T>::slots, W = width<T>;

  struct Forward {
    const ForwardArgs<T> &args;
    const Weights<T> &w;
    int *prefix_done;  // steps of the shared prefix that have run
    const StateMasks<T> &masks;
    // Where state row i stands: without keep only blank, prefix and initial rows are kept.
    T *row_of(T *base, bool keep, int i) const {
      const PlanView &p = args.plan;
      if (!keep && i > p.prefix + p.own) i -= p.own;
      return base + size_t(i) * w.Hp;
    }
    const T *h_row(int i) const { return row_of(args.h, args.keep_h, i); }
    const T *c_row(int i) const { return args.c ? row_of(args.c, args.keep_c, i) : nullptr; }

    void run(int n, const Run *runs, const int32_t *original, const OwnSteps<T> &own) const {
      with_activations<T>(w.activation, w.recurrent_activation,
                          [&](const auto &act) { run_with(act, n, runs, original, own); });
    }

    template <class A>
    void run_with(const A &act, int n, const Run *runs, const int32_t *original, const OwnSteps<T> &own) const {
      const PlanView &plan = args.plan;
      const int Hp = w.Hp;
      const T *x[most_block], *next[most_block], *h_prev[most_block], *c_prev[most_block];
      T *h[most_block], *c[most_block], *stash[most_block];
      Scratch<T> room(size_t(n) * Hp * (4 + slots)), masked(w.apart ? size_t(n) * G * Hp : 0);
      const T *dropped_rows[G][most_block], *const *dropped[G];
      for (int g = 0; g < G; g++) {
        dropped[g] = dropped_rows[g];
        for (int r = 0; r < n && w.apart; r++) dropped_rows[g][r] = masked + (size_t(r) * G + g) * Hp;
      }
      // Where each row's step s writes: s rows behind its first, or to one of two places in turn where nothing is kept.
      const bool prefix = original == nullptr;
      const bool keep_h = args.keep_h || prefix || own.h, keep_c = args.keep_c || prefix || own.c;
      const int32_t *value[most_block];
      T *first_h[most_block], *first_c[most_block], *first_stash[most_block];
      for (int r = 0; r < n; r++) {
        const int i = runs[r].position;
        const size_t at = size_t(i - runs[0].position) * Hp;  // of own steps
        T *spare = room + size_t(r) * Hp * (4 + slots);
        value[r] = plan.value + i;
        first_h[r] = own.h ? own.h + at : keep_h ? row_of(args.h, true, 1 + i) : spare;
        first_c[r] = !args.c ? nullptr : own.c ? own.c + at : keep_c ? row_of(args.c, true, 1 + i) : spare + 2 * Hp;
        first_stash[r] = own.stash ? own.stash + at * slots : args.stash ? args.stash + size_t(i) * slots * Hp : spare + 4 * Hp;
        h_prev[r] = h_row(runs[r].start), c_prev[r] = c_row(runs[r].start);
        c[r] = nullptr;
      }
      const bool small = asks_ahead(G * Hp * sizeof(T));
      const int ahead = small && args.stash ? far_ahead : 0;
      int active = n;
      for (int s = 0; s < runs[0].length; s++) {
        while (active > 0 && runs[active - 1].length <= s) active--;
        const size_t h_at = size_t(keep_h ? s : s & 1) * Hp, c_at = size_t(keep_c ? s : s & 1) * Hp;
        const size_t stash_at = args.stash ? size_t(s) * slots * Hp : 0;
        for (int r = 0; r < active; r++) {
          x[r] = args.z + size_t(value[r][s]) * (G * Hp);
          next[r] = small && s + 2 < runs[r].length ? args.z + size_t(value[r][s + 2]) * (G * Hp) : x[r];
          h[r] = first_h[r] + h_at;
          if (args.c) c[r] = first_c[r] + c_at;
          stash[r] = first_stash[r] + stash_at;
        }
        for (int r = 0; r < active && w.apart; r++) {
          const T *mask = masks.of_row(original[r]);
          T *to = masked + size_t(r) * G * Hp;
          for (int g = 0; g < G; g++, mask += Hp, to += Hp)
            for (int u = 0; u < Hp; u += W) store<T>(to + u, load<T>(h_prev[r] + u) * load<T>(mask + u));
        }
        Cell<T>::forward(act, w, {active, x, next, h_prev, c_prev, h, c, stash, ahead, dropped});
        for (int r = 0; r < active; r++) h_prev[r] = h[r], c_prev[r] = c[r];
        if (prefix) __atomic_store_n(prefix_done, s + 1, __ATOMIC_RELEASE);
      }
      if (prefix) return;
      const size_t bytes = sizeof(T) * w.H;
      for (int r = 0; r < n; r++) {
        const size_t b = original[r];
        memcpy(args.final_h + b * w.H, h_prev[r], bytes);
        if (args.c) memcpy(args.final_c + b * w.H, c_prev[r], bytes);
        if (plan.last_row[b])
          memcpy(args.last + b * w.H, h_prev[r], bytes);
        else
          memset(args.last + b * w.H, 0, bytes);
      }
    }
  };

  // Lets the rows that wait for the prefix go on, also when it ends early for want of memory.
  struct Finished {
    int &prefix_done, all;
    ~Finished() { __atomic_store_n(&prefix_done, all, __ATOMIC_RELEASE); }
  };

  // A pass cut into tasks: 0 is the shared prefix; long rows, which leave it early or never, run beside it in blocks.
  struct Pass {
    const ForwardArgs<T> &args;
    const PackedWeights<Cell, T> packed{args.recurrent_kernel, args.recurrent_bias, args.H, args.activation,
                                        args.recurrent_activation, false, args.drop != nullptr};
    const Weights<T> &w = packed.w;
    const StateMasks<T> masks{args.drop, args.plan, G, w.H, w.Hp};
    const int blocks = block_count<T>(args.plan.batch, w.H, G, w.apart ? 1 : G);
    int prefix_done = 0;
    const Forward forward{args, w, &prefix_done, masks};

    explicit Pass(const ForwardArgs<T> &args) : args(args) {
      start_states(args.h, args.keep_h, args.h0);
      if (args.c) start_states(args.c, args.keep_c, args.c0);
    }
    Pass(const Pass &) = delete;

    void start_states(T *base, bool keep, const T *given) const {
      const PlanView &plan = args.plan;
      memset(base, 0, sizeof(T) * w.Hp);
      for (int s = 0; s < plan.initial; s++) {
        T *row = forward.row_of(base, keep, 1 + plan.prefix + plan.own + s);
        memset(row, 0, sizeof(T) * w.Hp);
        if (given) memcpy(row, given + size_t(s) * w.H, sizeof(T) * w.H);
      }
    }

    void prefix() {
      const Finished finished{prefix_done, args.plan.prefix};
      const Run run = prefix_run(args.plan);
      forward.run(1, &run, nullptr, {});
    }

    // Rows first .. last-1 of the order.
    void rows(int first, int last, const OwnSteps<T> &own) {
      const PlanView &plan = args.plan;
      const int first_initial = 1 + plan.prefix + plan.own;
      Run runs[most_block];
      int needed = 0;
      for (int q = first; q < last; q++) {
        runs[q - first] = own_run(plan, q);
        if (plan.start[q] < first_initial && plan.start[q] > needed) needed = plan.start[q];
      }
      while (__atomic_load_n(&prefix_done, __ATOMIC_ACQUIRE) < needed) unrolled::yield();
      forward.run(last - first, runs, plan.order + first, own);
    }
  };

  static void forward(const ForwardArgs<T> &args) {
    Pass pass(args);
    unrolled::parallel_for(pass.blocks + 1, [&](int task) {
      if (task == 0) return pass.prefix();
      pass.rows(share(args.plan.batch, task - 1, pass.blocks), share(args.plan.batch, task, pass.blocks), {});
    });
  }
};

}  // namespace UNROLLED_LEVEL
