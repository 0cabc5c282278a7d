// recurrence_backward.h: the time loop of recurrence.h, backwards: the same blocks and runs, from their last step to their
// first; the stash turns into gradients of pre-activations in place, and products over the steps that have gone back are
// added while what they read is near.
#pragma once
#include "recurrence.h"

namespace UNROLLED_LEVEL {

using unrolled::Above;

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

    // products, sums: where the products over these steps, and x's gradients at frequent values, are added while what they
    // read is still near; or null. original: rows of the batch, or null for the prefix.
    void run(int n, const Run *runs, T *const *dh, T *const *dc, const int32_t *original, T *products, T *sums) const {
      with_activations<T>(w.activation, w.recurrent_activation,
                          [&](const auto &act) { run_with(act, n, runs, dh, dc, original, products, sums); });
    }

    template <class A>
    void run_with(const A &act, int n, const Run *runs, T *const *dh, T *const *dc, const int32_t *original, T *products,
                  T *sums) const {
      const bool prefix = original == nullptr;
      const int Hp = w.Hp;
      int32_t done[most_waiting] = {};  // positions whose products are not added yet
      Passed passed[most_waiting];
      int waiting = 0;
      const auto add_waiting = [&] {
        if (products && w.apart)
          add_dropped_products<Cell, T>(args, masks, waiting, [&](int j) { return done[j]; }, products, 0, G, 0, Hp);
        else if (products)
          add_products(args, w, waiting, [&](int j) { return passed[j]; }, products);
        if (sums) add_frequent(done, waiting, sums);
        waiting = 0;
      };
      T *stash[most_block], *scratch[most_block], *first_stash[most_block];
      const T *h_prev[most_block], *c_prev[most_block], *h[most_block], *c[most_block];
      const T *drop[most_block] = {}, *first_h[most_block], *first_c[most_block];  // of the state before a row's first step
      const int rooms = w.apart ? 3 : 1;
      Scratch<T> room(size_t(n) * Hp * rooms);
      for (int r = 0; r < n; r++) {
        const size_t i = runs[r].position;
        scratch[r] = room + size_t(r) * Hp * rooms;
        first_stash[r] = args.stash + i * slots * Hp;
        first_h[r] = args.h + i * Hp;
        first_c[r] = args.c ? args.c + i * Hp : nullptr;
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
          h_prev[r] = s ? first_h[r] + at : args.h + size_t(runs[r].start) * Hp;
          if (args.c) {
            c[r] = first_c[r] + at + Hp;
            c_prev[r] = s ? first_c[r] + at : args.c + size_t(runs[r].start) * Hp;
          }
          passed[waiting + r] = {h_prev[r], stash[r]};
          if (joined) join(runs[r].position + s, prefix, dh[r], dc[r]);
        }
        Cell<T>::backward(act, w, {active, ahead, stash, h_prev, c_prev, h, c, dh, dc, scratch, drop});
        waiting += active;
        if (waiting >= together) add_waiting();
      }
      add_waiting();
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

    void add_frequent(const int32_t *positions, int count, T *sums) const {
      const int N = G * w.Hp;
      int from[unrolled::most_frequent_columns / W];
      for (int j = 0; j < N / W; j++) from[j] = Cell<T>::x_column(w.Hp, j / G, j % G);
      int32_t at[most_waiting], which[most_waiting];
      int found = 0;
      for (int p = 0; p < count; p++) {  // without a branch: no processor guesses which word is frequent
        at[found] = positions[p], which[found] = args.plan.frequent[args.plan.value[positions[p]]];
        found += which[found] >= 0;
      }
      for (int p = 0; p < found; p++) {
        const T *d = args.stash + size_t(at[p]) * slots * w.Hp;
        T *to = sums + size_t(which[p]) * N;
        for (int j = 0; j < N / W; j++) store<T>(to + j * W, load<T>(to + j * W) + load<T>(d + from[j]));
      }
    }

    void block(int first, int last, T *products, T *sums) const {
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
      run(last - first, runs, dh, dc, plan.order + first, products, sums);
    }
  };

  static T *zeros(T *first, size_t entries) { return static_cast<T *>(memset(first, 0, sizeof(T) * entries)); }

  // A way back cut into tasks: the blocks of the pass forward, in any order; then `finish`.
  struct Pass {
    const BackwardArgs<T> &args;
    const PlanView &plan = args.plan;
    const PackedWeights<Cell, T> packed{args.recurrent_kernel, nullptr, args.H, args.activation,
                                        args.recurrent_activation, true, args.drop != nullptr};
    const Weights<T> &w = packed.w;
    const int Hp = w.Hp, blocks = block_count<T>(plan.batch, w.H, G, w.apart ? 1 : G);
    const size_t size = products_size(w.H, Hp), prefix_size = size_t(plan.prefix + 1) * Hp;
    const bool by_block = size * sizeof(T) <= (512 << 10);
    const size_t frequent = args.frequent ? size_t(plan.frequent_values) * G * Hp : 0;
    const Scratch<T> starts{size_t(plan.batch) * Hp * 2}, joined{2 * prefix_size};
    const Scratch<T> partial{by_block ? (blocks + 1) * size : size}, sums{(blocks + 1) * frequent};  // the prefix's first
    StateMasks<T> masks{args.drop, plan, G, w.H, Hp};
    const Backward backward{args, w, starts, starts + size_t(plan.batch) * Hp, joined, joined + prefix_size, masks};

    explicit Pass(const BackwardArgs<T> &args) : args(args) {
      if (w.apart) masks.find_owners(plan);
    }
    Pass(const Pass &) = delete;

    void block(int block) const {
      T *products = by_block ? zeros(partial + (block + 1) * size, size) : nullptr;
      T *own_sums = frequent ? zeros(sums + (block + 1) * frequent, frequent) : nullptr;
      backward.block(share(plan.batch, block, blocks), share(plan.batch, block + 1, blocks), products, own_sums);
    }

    void to_initial(int s, const T *dh, const T *dc) const {
      for (int u = 0; u < w.H; u++) {
        if (args.d_h0) args.d_h0[size_t(s) * w.H + u] += dh[u];
        if (args.d_c0) args.d_c0[size_t(s) * w.H + u] += dc[u];
      }
    }

    // Each row hands the gradient of its starting state to the trajectory that it left, in the order of rows.
    void hand_over_starts() const {
      zeros(joined, 2 * prefix_size);
      const int first_initial = 1 + plan.prefix + plan.own;
      if (args.d_h0) memset(args.d_h0, 0, sizeof(T) * plan.initial * w.H);
      if (args.d_c0) memset(args.d_c0, 0, sizeof(T) * plan.initial * w.H);
      for (int q = 0; q < plan.batch; q++) {
        const T *dh = backward.dh_start + size_t(q) * Hp, *dc = backward.dc_start + size_t(q) * Hp;
        const int row = plan.start[q];
        if (row >= first_initial) {
          to_initial(row - first_initial, dh, dc);
        } else {
          for (int u = 0; u < Hp; u++) backward.dh_prefix[size_t(row) * Hp + u] += dh[u];
          for (int u = 0; u < Hp; u++) backward.dc_prefix[size_t(row) * Hp + u] += dc[u];
        }
      }
    }

    void prefix() const {
      zeros(partial, size);
      zeros(sums, frequent);
      if (plan.prefix == 0) return;
      const Run run = prefix_run(plan);
      Scratch<T> carried(size_t(2) * Hp);
      zeros(carried, 2 * Hp);
      T *dh[1] = {carried}, *dc[1] = {carried + Hp};
      backward.run(1, &run, dh, dc, nullptr, by_block ? partial.p : nullptr, frequent ? sums.p : nullptr);
      to_initial(0, dh[0], dc[0]);
    }

    void add_up(T *of_blocks, size_t entries) const {  // the first block's own become all blocks'
      for (int block = 1; block < blocks; block++)
        for (size_t j = 0; j < entries; j++) of_blocks[j] += of_blocks[block * entries + j];
    }

    // The prefix runs in one thread, on what rows hand over. Beside it the blocks' sums are added up, in the order of blocks.
    void finish() const {
      unrolled::parallel_for(4, [&](int task) {
        if (task == 0) hand_over_starts(), prefix();
        if (task == 1 && args.meanwhile) args.meanwhile(args.context);
        if (task == 2 && by_block) add_up(partial + size, size);
        if (task == 3 && frequent) add_up(sums + frequent, frequent);
      });
      for (size_t j = 0; j < frequent; j++) args.frequent[j] = sums[j] + sums[frequent + j];
      if (by_block)
        for (size_t j = 0; j < size; j++) partial[j] += partial[size + j];
      else
        all_products();
      w.apart ? unpack_dropped_products<T>(args, G, Hp, partial) : unpack_products(args, Hp, partial);
    }

    // Large layers: all positions at once, cut by columns.
    void all_products() const {
      constexpr int panel = 4 * panel_columns * W;
      const int all = plan.prefix + plan.own, panels = (Hp + panel - 1) / panel;  // panels of a gate
      const auto passed = [&](int i) {
        return Passed{args.h + size_t(plan.previous[i]) * Hp, args.stash + size_t(i) * slots * Hp};
      };
      unrolled::parallel_for(w.apart ? G * panels : (G * Hp + panel - 1) / panel, [&](int j) {
        if (!w.apart) return add_products(args, w, all, passed, partial, j * panel, (j + 1) * panel);
        const int from = j % panels * panel, to = from + panel < Hp ? from + panel : Hp;
        const auto position = [](int i) { return i; };
        add_dropped_products<Cell, T>(args, masks, all, position, partial, j / panels, j / panels + 1, from, to);
      });
    }
  };

  static void backward(const BackwardArgs<T> &args) {
    const Pass pass(args);
    unrolled::parallel_for(pass.blocks, [&](int block) { pass.block(block); });
    pass.finish();
  }

  // Forward and back, a block of rows at a time while its stash is near: where `above` needs no other rows.
  static void both(const ForwardArgs<T> &forward_args, const BackwardArgs<T> &args, const Above &above) {
    typename Recurrence<Cell, T>::Pass forward(forward_args);
    const Pass pass(args);
    unrolled::parallel_for(pass.blocks + 1, [&](int task) {
      if (task == 0) return forward.prefix();
      const int block = task - 1, first = share(args.plan.batch, block, pass.blocks);
      forward.block(block);
      above.run(above.context, args.plan.order + first, share(args.plan.batch, task, pass.blocks) - first);
      pass.block(block);
    });
    pass.finish();
  }
};

}  // namespace UNROLLED_LEVEL
