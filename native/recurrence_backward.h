// recurrence_backward.h: the time loop of recurrence.h, backwards: the same runs, from their last step to their first; the
// stash turns into gradients of pre-activations in place, and what the steps that have gone back add is added while it is
// near. backward_pass.h cuts a whole way back into tasks.
#pragma once
#include "recurrence.h"

namespace UNROLLED_LEVEL {

template <template <class> class Cell, class T> struct RecurrenceBackward {
  static constexpr int G = Cell<T>::gates, slots = Cell<T>::slots, W = width<T>;
  static constexpr int together = 96, most_waiting = together + most_block;  // positions whose products are added at once

  // A step that went back: the state before it and its row of the stash.
  struct Passed {
    const T *before, *stash;
  };

  // Adds the products that give d_recurrent_kernel (and the recurrent bias, as one more row) over the steps passed(0) to
  // passed(count - 1), for columns [first_column, last_column) of each map. d: packed, for each map (H+1 rows, its columns).
  template <class F>
  static void add_products(const BackwardArgs<T> &args, const Weights<T> &w, int count, const F &passed, T *d,
                           int first_column = 0, int last_column = INT32_MAX) {
    constexpr int chunk = 256;
    const T *a[chunk], *b[chunk];
    RecurrentMap maps[2];
    const int map_count = Cell<T>::maps(w.Hp, maps);
    for (int m = 0; m < map_count; m++) {
      const RecurrentMap &map = maps[m];
      const int from = first_column < map.columns ? first_column : map.columns;
      const int to = last_column < map.columns ? last_column : map.columns;
      for (int k = 0; k < count; k += chunk) {
        const int some = count - k < chunk ? count - k : chunk;
        for (int j = 0; j < some; j++) {
          const Passed step = passed(k + j);
          a[j] = map.stash_a < 0 ? step.before : step.stash + map.stash_a;
          b[j] = step.stash + map.b + from;
        }
        if (to > from) outer_product<T>(a, w.H, b, to - from, some, d + from, map.columns);
        if (args.d_recurrent_bias && map.stash_a < 0) add_rows<T>(b, to - from, some, d + size_t(w.H) * map.columns + from);
      }
      d += size_t(w.H + 1) * map.columns;
    }
  }

  static size_t products_size(int H, int Hp) {
    RecurrentMap maps[2];
    size_t size = 0;
    for (int m = 0, count = Cell<T>::maps(Hp, maps); m < count; m++) size += size_t(H + 1) * maps[m].columns;
    return size;
  }

  static void unpack_products(const BackwardArgs<T> &args, int Hp, const T *d) {
    RecurrentMap maps[2];
    const int count = Cell<T>::maps(Hp, maps), H = args.H;
    for (int m = 0; m < count; m++) {
      const RecurrentMap &map = maps[m];
      for (int k = 0; k <= H; k++, d += map.columns) {
        T *to = k < H ? args.d_recurrent_kernel + size_t(k) * G * H : args.d_recurrent_bias;
        if (to) unpack_row<T>(d, {H, G, map.first_gate, map.gates}, to);
      }
    }
  }

  struct Backward {
    const BackwardArgs<T> &args;
    const Weights<T> &w;
    T *dh_start, *dc_start;  // (B, Hp) by place in the order: gradients of the states that rows start from
    T *dh_prefix, *dc_prefix;  // (P+1, Hp): what is handed to the shared trajectory, by state row
    const StateMasks<T> &masks;
    int *prefix_left;  // steps of the shared prefix that have not gone back

    // State row i: with `gathered`, rows of own steps are not there (see recurrence.h: row_of).
    const T *state_row(const T *base, int i) const {
      const PlanView &plan = args.plan;
      if (args.gathered.rows && i > plan.prefix + plan.own) i -= plan.own;
      return base + size_t(i) * w.Hp;
    }

    // products, sums: where the products over these steps, and x's gradients at frequent values, are added while what they
    // read is still near; or null. original: rows of the batch, or null for the prefix.
    void run(int n, const Run *runs, T *const *dh, T *const *dc, const int32_t *original, T *products, T *sums,
             const OwnSteps<T> &own) const {
      with_activations<T>(w.activation, w.recurrent_activation,
                          [&](const auto &act) { run_with(act, n, runs, dh, dc, original, products, sums, own); });
    }

    template <class A>
    void run_with(const A &act, int n, const Run *runs, T *const *dh, T *const *dc, const int32_t *original, T *products,
                  T *sums, const OwnSteps<T> &own) const {
      const bool prefix = original == nullptr;
      const int Hp = w.Hp;
      int32_t done[most_waiting] = {};  // positions whose products are not added yet
      Passed passed[most_waiting];
      int waiting = 0;
      const auto add_waiting = [&] {
        add_steps(done, passed, waiting, products, sums);
        waiting = 0;
      };
      T *stash[most_block], *scratch[most_block], *first_stash[most_block];
      const T *h_prev[most_block], *c_prev[most_block], *h[most_block], *c[most_block];
      const T *drop[most_block] = {}, *first_h[most_block], *first_c[most_block];  // of the state before a row's first step
      const int rooms = w.apart ? 3 : 1;
      Scratch<T> room(size_t(n) * Hp * rooms);
      for (int r = 0; r < n; r++) {
        const size_t i = runs[r].position;
        const size_t at = (i - runs[0].position) * Hp;  // of own steps
        scratch[r] = room + size_t(r) * Hp * rooms;
        first_stash[r] = own.stash ? own.stash + at * slots : args.stash + i * slots * Hp;
        first_h[r] = own.h ? own.h + at - Hp : args.h + i * Hp;
        first_c[r] = !args.c ? nullptr : own.c ? own.c + at - Hp : args.c + i * Hp;
        c[r] = c_prev[r] = nullptr;
        if (w.apart && !prefix) drop[r] = masks.of_row(original[r]);
      }
      const bool joined = args.d_outputs || prefix || args.d_h || args.d_c;
      const int ahead = asks_ahead(slots * Hp * sizeof(T)) ? far_ahead : 0;
      int active = 0;
      for (int s = runs[0].length - 1; s >= 0; s--) {
        while (active < n && runs[active].length > s) active++;
        const size_t at = size_t(s) * Hp;
        for (int r = 0; r < active; r++) {
          done[waiting + r] = runs[r].position + s;
          stash[r] = first_stash[r] + at * slots;
          h[r] = first_h[r] + at + Hp;
          h_prev[r] = s ? first_h[r] + at : state_row(args.h, runs[r].start);
          if (args.c) {
            c[r] = first_c[r] + at + Hp;
            c_prev[r] = s ? first_c[r] + at : state_row(args.c, runs[r].start);
          }
          passed[waiting + r] = {h_prev[r], stash[r]};
          if (joined) join(runs[r].position + s, prefix, dh[r], dc[r]);
        }
        Cell<T>::backward(act, w, {active, ahead, stash, h_prev, c_prev, h, c, dh, dc, scratch, drop, prefix});
        if (prefix)  // add_prefix follows
          __atomic_store_n(prefix_left, s, __ATOMIC_RELEASE);
        else if ((waiting += active) >= together)
          add_waiting();
      }
      add_waiting();
    }

    // What steps that went back add: to the products that give d_recurrent_kernel, and x's gradients.
    void add_steps(const int32_t *done, const Passed *passed, int count, T *products, T *sums) const {
      if (products && w.apart)
        add_dropped_products<Cell, T>(args, masks, count, [&](int j) { return done[j]; }, products, 0, G, 0, w.Hp);
      else if (products)
        add_products(args, w, count, [&](int j) { return passed[j]; }, products);
      const auto which = [&](int p) {
        return args.gathered.rows ? ~args.gathered.place[done[p]] : args.plan.frequent[args.plan.value[done[p]]];
      };
      if (sums) add_frequent(passed, count, which, sums);
      if (args.gathered.rows) put_others(done, passed, count);
    }

    // The same of the shared prefix, behind the thread in which it runs: of the products the first or the second half of the
    // columns, the rest with the first.
    void add_prefix(T *products, T *sums, bool second) const {
      const int middle = round_up(G * w.Hp / 2, W);
      const Run run = prefix_run(args.plan);
      int32_t done[together];
      Passed passed[together];
      for (int last = run.length; last > 0; last -= together) {
        const int count = last < together ? last : together;
        while (__atomic_load_n(prefix_left, __ATOMIC_ACQUIRE) > last - count) unrolled::yield();
        for (int j = 0; j < count; j++) {
          const int i = done[j] = last - 1 - j;
          passed[j] = {state_row(args.h, i ? i : run.start), args.stash + size_t(i) * slots * w.Hp};
        }
        const auto step = [&](int j) { return passed[j]; };
        if (products) add_products(args, w, count, step, products, second ? middle : 0, second ? INT32_MAX : middle);
        if (!second) add_steps(done, passed, count, nullptr, sums);
      }
      streamed();
    }

    // Adds what reaches the state after position i from above and, for the shared trajectory, from the rows that left it there.
    void join(size_t i, bool prefix, T *dh, T *dc) const {
      const int Hp = w.Hp;
      if (args.d_outputs) {
        const T *d = args.d_outputs + (i + 1) * args.d_ld;
        for (int u = 0; u < w.H; u++) dh[u] += d[u];
      }
      if (prefix)
        for (int u = 0; u < Hp; u++) {
          dh[u] += dh_prefix[(i + 1) * Hp + u];
          if (args.c) dc[u] += dc_prefix[(i + 1) * Hp + u];
        }
      if (args.d_h) memcpy(args.d_h + (i + 1) * Hp, dh, sizeof(T) * Hp);
      if (args.d_c) memcpy(args.d_c + (i + 1) * Hp, dc, sizeof(T) * Hp);
    }

    // Where the columns of x's gradients stand in a row of the stash.
    struct Columns {
      int count = 0, from[unrolled::most_frequent_columns / W];
      explicit Columns(int Hp) {
        for (; count < G * Hp / W; count++) from[count] = Cell<T>::x_column(Hp, count / G, count % G);
      }
    };

    // Adds x's gradients over steps to the sums of frequent values; which(p): of the how manyth, or negative.
    template <class F> void add_frequent(const Passed *passed, int count, const F &which, T *sums) const {
      const Columns columns(w.Hp);
      int at[most_waiting], found = 0;
      for (int p = 0; p < count; p++) at[found] = p, found += which(p) >= 0;  // without a branch: no processor guesses it
      for (int k = 0; k < found; k++) {
        const T *d = passed[at[k]].stash;
        T *to = sums + size_t(which(at[k])) * columns.count * W;
        for (int j = 0; j < columns.count; j++) store<T>(to + j * W, load<T>(to + j * W) + load<T>(d + columns.from[j]));
      }
    }

    // The same of other values to their rows.
    void put_others(const int32_t *positions, const Passed *passed, int count) const {
      const Columns columns(w.Hp);
      int at[most_waiting], found = 0;
      for (int p = 0; p < count; p++) at[found] = p, found += args.gathered.place[positions[p]] >= 0;
      for (int k = 0; k < found; k++) {
        const T *d = passed[at[k]].stash;
        T *to = args.gathered.rows + size_t(args.gathered.place[positions[at[k]]]) * columns.count * W;
        for (int j = 0; j < columns.count; j++) stream<T>(to + j * W, load<T>(d + columns.from[j]));
      }
    }

    void rows(int first, int last, T *products, T *sums, const OwnSteps<T> &own) const {
      const PlanView &plan = args.plan;
      Run runs[most_block];
      T *dh[most_block], *dc[most_block];
      for (int q = first; q < last; q++) {
        const int r = q - first, H = w.H;
        const size_t b = plan.order[q];
        runs[r] = own_run(plan, q);
        dh[r] = dh_start + size_t(q) * w.Hp, dc[r] = dc_start + size_t(q) * w.Hp;
        memset(dh[r], 0, sizeof(T) * w.Hp);
        memset(dc[r], 0, sizeof(T) * w.Hp);
        if (args.d_final_h) memcpy(dh[r], args.d_final_h + b * H, sizeof(T) * H);
        if (args.d_final_c) memcpy(dc[r], args.d_final_c + b * H, sizeof(T) * H);
        if (args.d_last && plan.last_row[b])
          for (int u = 0; u < H; u++) dh[r][u] += args.d_last[b * H + u];
      }
      run(last - first, runs, dh, dc, plan.order + first, products, sums, own);
    }
  };
};

}  // namespace UNROLLED_LEVEL
