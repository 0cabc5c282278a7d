// recurrence.h: the one time loop. Rows are cut into blocks (never by the number of threads, so that sums are the same
// for any); a block runs its rows step by step, longest first, rows dropping out as they end.
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
  int most = bytes <= (48 << 10) ? fit : bytes <= (512 << 10) ? 2 * fit : most_block;
  if (most > most_block) most = most_block;
  const int parts = bytes <= (512 << 10) ? 4 : 2;
  const int few = (rows + parts - 1) / parts;
  if (most > few) most = few < 1 ? 1 : few;
  return (rows + most - 1) / most;
}

static inline int share(int rows, int block, int blocks) { return int(int64_t(rows) * block / blocks); }

// A run: consecutive positions of one row (or of the shared prefix) from a state row on.
struct Run {
  int position, length, start;
};
static inline Run own_run(const PlanView &plan, int q) {
  return {plan.prefix + plan.offset[q], plan.offset[q + 1] - plan.offset[q], plan.start[q]};
}
static inline Run prefix_run(const PlanView &plan) { return {0, plan.prefix, 1 + plan.prefix + plan.own}; }

template <template <class> class Cell, class T> struct Recurrence {
  static constexpr int G = Cell<T>::gates, slots = Cell<T>::slots, W = width<T>;

  struct Packed {
    Scratch<T> forward, backward, forward2, backward2, bias;
    Weights<T> w;
    Packed(const T *U, const T *recurrent_bias, int H, Activation a, Activation ra, bool back, bool apart)
        : forward(size_t(H) * G * round_up(H, W)),
          backward(back ? size_t(G) * round_up(H, W) * round_up(H, W) : 0),
          forward2(size_t(H) * round_up(H, W)),
          backward2(back ? size_t(round_up(H, W)) * round_up(H, W) : 0),
          bias(size_t(G) * round_up(H, W)) {
      w = {H, round_up(H, W), forward, backward, forward2, backward2, nullptr, apart, a, ra};
      Cell<T>::pack(U, w, forward, back ? backward.p : nullptr, forward2, back ? backward2.p : nullptr);
      if (recurrent_bias) {
        pack_row<T>(recurrent_bias, {H, G, 0, G}, bias);
        w.bias = bias;
      }
    }
  };

  // ---- forward ----

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

    void run(int n, const Run *runs, const int32_t *original) const {
      const PlanView &plan = args.plan;
      const int Hp = w.Hp;
      const T *x[most_block], *h_prev[most_block], *c_prev[most_block];
      T *h[most_block], *c[most_block], *stash[most_block];
      Scratch<T> room(size_t(n) * Hp * (4 + slots)), masked(w.apart ? size_t(n) * G * Hp : 0);
      const T *dropped_rows[G][most_block], *const *dropped[G];
      for (int g = 0; g < G; g++) {
        dropped[g] = dropped_rows[g];
        for (int r = 0; r < n && w.apart; r++) dropped_rows[g][r] = masked + (size_t(r) * G + g) * Hp;
      }
      for (int r = 0; r < n; r++) h_prev[r] = h_row(runs[r].start), c_prev[r] = c_row(runs[r].start);
      int active = n;
      const bool prefix = original == nullptr;
      for (int s = 0; s < runs[0].length; s++) {
        while (active > 0 && runs[active - 1].length <= s) active--;
        for (int r = 0; r < active; r++) {
          const int i = runs[r].position + s;
          T *spare = room + size_t(r) * Hp * (4 + slots);
          x[r] = args.z + size_t(plan.value[i]) * G * Hp;
          if (s + 1 < runs[r].length) prefetch<false>(args.z + size_t(plan.value[i + 1]) * G * Hp, G * Hp);
          if (args.stash && s + 2 < runs[r].length) {
            prefetch<true>(args.stash + size_t(i + 2) * slots * Hp, slots * Hp);
            prefetch<true>(args.h + size_t(i + 3) * Hp, Hp);
            if (args.c) prefetch<true>(args.c + size_t(i + 3) * Hp, Hp);
          }
          h[r] = args.keep_h || prefix ? row_of(args.h, true, 1 + i) : spare + (s & 1) * Hp;
          c[r] = !args.c ? nullptr : args.keep_c || prefix ? row_of(args.c, true, 1 + i) : spare + (2 + (s & 1)) * Hp;
          stash[r] = args.stash ? args.stash + size_t(i) * slots * Hp : spare + 4 * Hp;
        }
        for (int r = 0; r < active && w.apart; r++) {
          const T *mask = masks.of_row(original[r]);
          T *to = masked + size_t(r) * G * Hp;
          for (int g = 0; g < G; g++, mask += Hp, to += Hp)
            for (int u = 0; u < Hp; u += W) store<T>(to + u, load<T>(h_prev[r] + u) * load<T>(mask + u));
        }
        Cell<T>::forward(w, {active, x, h_prev, c_prev, h, c, stash, dropped});
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

  static void forward(const ForwardArgs<T> &args) {
    const PlanView &plan = args.plan;
    const Packed packed(args.recurrent_kernel, args.recurrent_bias, args.H, args.activation,
                        args.recurrent_activation, false, args.drop != nullptr);
    const Weights<T> &w = packed.w;
    int prefix_done = 0;
    const StateMasks<T> masks(args.drop, plan, G, w.H, w.Hp);
    const Forward pass{args, w, &prefix_done, masks};
    const auto start_states = [&](T *base, bool keep, const T *given) {
      memset(base, 0, sizeof(T) * w.Hp);
      for (int s = 0; s < plan.initial; s++) {
        T *row = pass.row_of(base, keep, 1 + plan.prefix + plan.own + s);
        memset(row, 0, sizeof(T) * w.Hp);
        if (given) memcpy(row, given + size_t(s) * w.H, sizeof(T) * w.H);
      }
    };
    start_states(args.h, args.keep_h, args.h0);
    if (args.c) start_states(args.c, args.keep_c, args.c0);
    // The shared prefix is the first task; long rows, which leave it early or never, run beside it.
    const int blocks = block_count<T>(plan.batch, w.H, G, w.apart ? 1 : G), first_initial = 1 + plan.prefix + plan.own;
    unrolled::parallel_for(blocks + 1, [&](int task) {
      Run runs[most_block];
      if (task == 0) {
        const Finished finished{prefix_done, plan.prefix};
        runs[0] = prefix_run(plan);
        return pass.run(1, runs, nullptr);
      }
      const int first = share(plan.batch, task - 1, blocks), last = share(plan.batch, task, blocks);
      int needed = 0;
      for (int q = first; q < last; q++) {
        runs[q - first] = own_run(plan, q);
        if (plan.start[q] < first_initial && plan.start[q] > needed) needed = plan.start[q];
      }
      while (__atomic_load_n(&prefix_done, __ATOMIC_ACQUIRE) < needed) unrolled::yield();
      pass.run(last - first, runs, plan.order + first);
    });
  }

  // ---- backward ----

  // Adds the products that give d_recurrent_kernel (and the recurrent bias, as one more row) over `count` positions, for
  // columns [first_column, last_column) of each map. d: packed, for each map (H+1 rows, its columns).
  template <class F>
  static void add_products(const BackwardArgs<T> &args, const Weights<T> &w, int count, const F &position, T *d,
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
          const size_t i = position(k + j);
          const T *row = args.stash + i * slots * w.Hp;
          a[j] = map.stash_a < 0 ? args.h + size_t(args.plan.previous[i]) * w.Hp : row + map.stash_a;
          b[j] = row + map.b + from;
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
      const bool prefix = original == nullptr;
      const PlanView &plan = args.plan;
      const int Hp = w.Hp;
      constexpr int together = 96;
      int32_t done[together + most_block] = {};  // positions whose products are not added yet
      int waiting = 0;
      const auto add_waiting = [&] {
        const auto position = [&](int j) { return done[j]; };
        if (products && w.apart)
          add_dropped_products<Cell, T>(args, masks, waiting, position, products, 0, G, 0, Hp);
        else if (products)
          add_products(args, w, waiting, position, products);
        if (sums) add_frequent(done, waiting, sums);
        waiting = 0;
      };
      T *stash[most_block], *scratch[most_block];
      const T *h_prev[most_block], *c_prev[most_block], *h[most_block], *c[most_block];
      const T *drop[most_block] = {};
      const int rooms = w.apart ? 3 : 1;
      Scratch<T> room(size_t(n) * Hp * rooms);
      for (int r = 0; r < n; r++) scratch[r] = room + size_t(r) * Hp * rooms;
      for (int r = 0; r < n && w.apart && !prefix; r++) drop[r] = masks.of_row(original[r]);
      int active = 0;
      for (int s = runs[0].length - 1; s >= 0; s--) {
        while (active < n && runs[active].length > s) active++;
        for (int r = 0; r < active; r++) {
          const size_t i = runs[r].position + s;
          const size_t before = plan.previous[i];
          done[waiting + r] = int32_t(i);
          stash[r] = args.stash + i * slots * Hp;
          h[r] = args.h + (i + 1) * Hp, h_prev[r] = args.h + before * Hp;
          c[r] = c_prev[r] = nullptr;
          if (args.c) c[r] = args.c + (i + 1) * Hp, c_prev[r] = args.c + before * Hp;
          if (s >= 2) {
            prefetch<true>(args.stash + (i - 2) * slots * Hp, slots * Hp);
            prefetch<false>(args.h + (i - 2) * Hp, Hp);
            if (args.c) prefetch<false>(args.c + (i - 2) * Hp, Hp);
          }
          if (args.d_outputs) {
            const T *d = args.d_outputs + (i + 1) * args.d_ld;
            for (int u = 0; u < w.H; u++) dh[r][u] += d[u];
          }
          if (prefix)
            for (int u = 0; u < Hp; u++) {
              dh[r][u] += dh_prefix[(i + 1) * Hp + u];
              if (args.c) dc[r][u] += dc_prefix[(i + 1) * Hp + u];
            }
          if (args.d_h) memcpy(args.d_h + (i + 1) * Hp, dh[r], sizeof(T) * Hp);
          if (args.d_c) memcpy(args.d_c + (i + 1) * Hp, dc[r], sizeof(T) * Hp);
        }
        Cell<T>::backward(w, {active, stash, h_prev, c_prev, h, c, dh, dc, scratch, drop});
        waiting += active;
        if (waiting >= together) add_waiting();
      }
      add_waiting();
    }

    void add_frequent(const int32_t *positions, int count, T *sums) const {
      const int N = G * w.Hp;
      int from[unrolled::most_frequent_columns / W];
      for (int j = 0; j < N / W; j++) from[j] = Cell<T>::x_column(w.Hp, j / G, j % G);
      for (int p = 0; p < count; p++) {
        const int which = args.plan.frequent[args.plan.value[positions[p]]];
        if (which < 0) continue;
        const T *d = args.stash + size_t(positions[p]) * slots * w.Hp;
        T *to = sums + size_t(which) * N;
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

  static void backward(const BackwardArgs<T> &args) {
    const PlanView &plan = args.plan;
    const Packed packed(args.recurrent_kernel, nullptr, args.H, args.activation, args.recurrent_activation, true,
                        args.drop != nullptr);
    const Weights<T> &w = packed.w;
    const int Hp = w.Hp, blocks = block_count<T>(plan.batch, w.H, G, w.apart ? 1 : G);
    const size_t size = products_size(w.H, Hp), prefix_size = size_t(plan.prefix + 1) * Hp;
    const bool by_block = size * sizeof(T) <= (512 << 10);
    const size_t frequent = args.frequent ? size_t(plan.frequent_values) * G * Hp : 0;
    Scratch<T> starts(size_t(plan.batch) * Hp * 2), joined(2 * prefix_size), partial(by_block ? (blocks + 1) * size : size);
    Scratch<T> sums((blocks + 1) * frequent);
    const StateMasks<T> masks(args.drop, plan, G, w.H, Hp);
    if (w.apart) masks.find_owners(plan);
    const Backward pass{args, w, starts, starts + size_t(plan.batch) * Hp, joined, joined + prefix_size, masks};

    const auto zeros = [](T *first, size_t entries) { return (T *)memset(first, 0, sizeof(T) * entries); };
    unrolled::parallel_for(blocks, [&](int block) {
      T *products = by_block ? zeros(partial + (block + 1) * size, size) : nullptr;
      T *own_sums = frequent ? zeros(sums + (block + 1) * frequent, frequent) : nullptr;
      pass.block(share(plan.batch, block, blocks), share(plan.batch, block + 1, blocks), products, own_sums);
    });

    // Each row hands the gradient of its starting state to the trajectory that it left, in the order of rows.
    zeros(joined, 2 * prefix_size);
    const int first_initial = 1 + plan.prefix + plan.own;
    if (args.d_h0) memset(args.d_h0, 0, sizeof(T) * plan.initial * w.H);
    if (args.d_c0) memset(args.d_c0, 0, sizeof(T) * plan.initial * w.H);
    const auto to_initial = [&](int s, const T *dh, const T *dc) {
      for (int u = 0; u < w.H; u++) {
        if (args.d_h0) args.d_h0[size_t(s) * w.H + u] += dh[u];
        if (args.d_c0) args.d_c0[size_t(s) * w.H + u] += dc[u];
      }
    };
    for (int q = 0; q < plan.batch; q++) {
      const T *dh = pass.dh_start + size_t(q) * Hp, *dc = pass.dc_start + size_t(q) * Hp;
      const int row = plan.start[q];
      if (row >= first_initial) {
        to_initial(row - first_initial, dh, dc);
      } else {
        for (int u = 0; u < Hp; u++) pass.dh_prefix[size_t(row) * Hp + u] += dh[u];
        for (int u = 0; u < Hp; u++) pass.dc_prefix[size_t(row) * Hp + u] += dc[u];
      }
    }
    zeros(partial, size);
    zeros(sums, frequent);
    // The prefix runs in one thread. Beside it the blocks' sums are added up, in the order of blocks.
    const auto prefix = [&] {
      if (plan.prefix == 0) return;
      const Run run = prefix_run(plan);
      Scratch<T> carried(size_t(2) * Hp);
      zeros(carried, 2 * Hp);
      T *dh[1] = {carried}, *dc[1] = {carried + Hp};
      pass.run(1, &run, dh, dc, nullptr, by_block ? partial.p : nullptr, frequent ? sums.p : nullptr);
      to_initial(0, dh[0], dc[0]);
    };
    const auto add_up = [&](T *of_blocks, size_t entries) {  // the first block's own become all blocks'
      for (int block = 1; block < blocks; block++)
        for (size_t j = 0; j < entries; j++) of_blocks[j] += of_blocks[block * entries + j];
    };
    unrolled::parallel_for(4, [&](int task) {
      if (task == 0) prefix();
      if (task == 1 && args.meanwhile) args.meanwhile(args.context);
      if (task == 2 && by_block) add_up(partial + size, size);
      if (task == 3 && frequent) add_up(sums + frequent, frequent);
    });
    for (size_t j = 0; j < frequent; j++) args.frequent[j] = sums[j] + sums[frequent + j];
    if (by_block) {
      for (size_t j = 0; j < size; j++) partial[j] += partial[size + j];
    } else {
      // Large layers: all positions at once, cut by columns.
      constexpr int panel = 4 * panel_columns * W;
      const int all = plan.prefix + plan.own, panels = (Hp + panel - 1) / panel;  // panels of a gate
      const auto position = [](int i) { return i; };
      unrolled::parallel_for(w.apart ? G * panels : (G * Hp + panel - 1) / panel, [&](int j) {
        if (!w.apart) return add_products(args, w, all, position, partial, j * panel, (j + 1) * panel);
        const int from = j % panels * panel, to = from + panel < Hp ? from + panel : Hp;
        add_dropped_products<Cell, T>(args, masks, all, position, partial, j / panels, j / panels + 1, from, to);
      });
    }
    if (w.apart) return unpack_dropped_products<T>(args, G, Hp, partial);
    unpack_products(args, Hp, partial);
  }
};

}  // namespace UNROLLED_LEVEL
