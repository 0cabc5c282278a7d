// backward_pass.h: a way back cut into tasks: the blocks of the pass forward, in any order, then `finish`; alone, or with each
// block right behind its pass forward.
#pragma once
#include "recurrence_backward.h"

namespace UNROLLED_LEVEL {

using unrolled::Above;

template <template <class> class Cell, class T> struct BackwardPass {
  using Loop = RecurrenceBackward<Cell, T>;
  static constexpr int G = Cell<T>::gates, slots = Cell<T>::slots, W = width<T>;

  const BackwardArgs<T> &args;
  const PlanView &plan = args.plan;
  const PackedWeights<Cell, T> packed{args.recurrent_kernel, nullptr, args.H, args.activation,
                                      args.recurrent_activation, true, args.drop != nullptr};
  const Weights<T> &w = packed.w;
  const int Hp = w.Hp, blocks = block_count<T>(plan.batch, w.H, G, w.apart ? 1 : G);
  const size_t size = Loop::products_size(w.H, Hp), prefix_size = size_t(plan.prefix + 1) * Hp;
  const bool by_block = size * sizeof(T) <= (512 << 10);
  const bool gathers = args.gathered.rows != nullptr;
  const int positions = plan.prefix + plan.own;
  size_t frequent = args.frequent ? size_t(plan.frequent_values) * G * Hp : 0;  // entries of sums; see number
  int32_t frequent_value[unrolled::most_frequent];
  Made numbered;
  int prefix_left = plan.prefix;
  const Scratch<T> starts{size_t(plan.batch) * Hp * 2}, joined{2 * prefix_size};
  const Scratch<T> partial{by_block ? (blocks + 2) * size : size};  // the two of the prefix first
  const Scratch<T> sums{(blocks + 1) * (gathers ? most_frequent_entries() : frequent)};
  StateMasks<T> masks{args.drop, plan, G, w.H, Hp};
  const typename Loop::Backward loop{args, w, starts, starts + size_t(plan.batch) * Hp, joined, joined + prefix_size, masks,
                                     &prefix_left};

  explicit BackwardPass(const BackwardArgs<T> &args) : args(args) {
    if (w.apart) masks.find_owners(plan);
  }
  BackwardPass(const BackwardPass &) = delete;

  size_t most_frequent_entries() const {
    const int most = positions / unrolled::frequent_from(positions);
    return size_t(most < plan.values ? most : plan.values) * G * Hp;
  }

  // Where gradients are gathered: gives positions their rows, which blocks wait for before they go back.
  void number() {
    const unrolled::Gathered<T> &to = args.gathered;
    frequent = size_t(unrolled::place_positions(plan.value, positions, plan.values, to.first_row, to.place, to.next,
                                                frequent_value)) * G * Hp;
    numbered.tell();
  }

  // f(first, last) for each group of the rows of a block.
  template <class F> void each_group(int block, const F &f) const {
    const int first = share(plan.batch, block, blocks), rows = share(plan.batch, block + 1, blocks) - first;
    const int groups = groups_of<T>(rows, w.H, G);
    for (int group = 0; group < groups; group++)
      f(first + share(rows, group, groups), first + share(rows, group + 1, groups));
  }

  // before(first, last): what must happen before a group of rows can go back.
  template <class F> void block(int block, const OwnSteps<T> &own, const F &before) const {
    T *products = by_block ? zeros(partial + (block + 2) * size, size) : nullptr, *own_sums = nullptr;
    each_group(block, [&](int first, int last) {
      before(first, last);
      if (gathers) numbered.wait();
      if (frequent && !own_sums) own_sums = zeros(sums + (block + 1) * frequent, frequent);
      loop.rows(first, last, products, own_sums, own);
    });
    streamed();
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
      const T *dh = loop.dh_start + size_t(q) * Hp, *dc = loop.dc_start + size_t(q) * Hp;
      const int row = plan.start[q];
      if (row >= first_initial) {
        to_initial(row - first_initial, dh, dc);
      } else {
        for (int u = 0; u < Hp; u++) loop.dh_prefix[size_t(row) * Hp + u] += dh[u];
        for (int u = 0; u < Hp; u++) loop.dc_prefix[size_t(row) * Hp + u] += dc[u];
      }
    }
  }

  void prefix() {
    const typename Recurrence<Cell, T>::Finished finished{prefix_left, 0};
    hand_over_starts();
    if (plan.prefix == 0) return;
    const Run run = prefix_run(plan);
    Scratch<T> carried(size_t(2) * Hp);
    zeros(carried, 2 * Hp);
    T *dh[1] = {carried}, *dc[1] = {carried + Hp};
    loop.run(1, &run, dh, dc, nullptr, nullptr, nullptr, {});
    to_initial(0, dh[0], dc[0]);
  }
  void add_prefix(int half) const {
    T *products = by_block ? zeros(partial + half * size, size) : nullptr;
    loop.add_prefix(products, half || !frequent ? nullptr : zeros(sums, frequent), half);
  }

  // The first block's own become all blocks', from entry `first` to `last`; some at a time, which stay in registers. What is
  // read soon, at another block, is asked for: other threads wrote it.
  void add_up(T *of_blocks, size_t entries, size_t first, size_t last) const {
    constexpr int most = 16, ahead = 3;
    for (size_t j = first; j < last; j += most * W) {
      const int some = last - j < most * W ? int(last - j) / W : most;
      Vec<T> sum[most];
      for (int m = 0; m < some; m++) sum[m] = load<T>(of_blocks + j + m * W);
      for (int block = 1; block < blocks; block++) {
        const int later = block + ahead;
        prefetch(later < blocks ? of_blocks + later * entries + j : of_blocks + (later - blocks) * entries + j + most * W, most * W);
        for (int m = 0; m < some; m++) sum[m] += load<T>(of_blocks + block * entries + j + m * W);
      }
      for (int m = 0; m < some; m++) store<T>(of_blocks + j + m * W, sum[m]);
    }
  }

  // The prefix runs in one thread, on what rows hand over. Beside it the blocks' sums are added up, in the order of blocks,
  // and then what the prefix itself adds.
  void finish() {
    constexpr int parts = 3;  // of the frequent values
    unrolled::parallel_for(5 + parts, [&](int task) {
      if (task == 0) prefix();
      if (task == 1 && args.meanwhile) args.meanwhile(args.context);
      if (task == 2 && by_block) add_up(partial + 2 * size, size, 0, size);
      if (task >= 3 && task < 3 + parts && frequent) {
        const size_t N = size_t(G) * Hp, rows = frequent / N, part = task - 3;
        add_up(sums + frequent, frequent, rows * part / parts * N, rows * (part + 1) / parts * N);
      }
      if (task >= 3 + parts) add_prefix(task - 3 - parts);
    });
    for (size_t row = 0, N = size_t(G) * Hp; row < frequent; row += N) {
      T *to = gathers ? args.gathered.rows + args.gathered.first_row[frequent_value[row / N]] * N : args.frequent + row;
      for (size_t j = 0; j < N; j++) to[j] = sums[row + j] + sums[frequent + row + j];
    }
    if (by_block)
      for (size_t j = 0; j < size; j++) partial[j] = partial[j] + partial[size + j] + partial[2 * size + j];
    else
      all_products();
    w.apart ? unpack_dropped_products<T>(args, G, Hp, partial) : Loop::unpack_products(args, Hp, partial);
  }

  // Large layers: all positions at once, cut by columns.
  void all_products() const {
    zeros(partial, size);
    constexpr int panel = 4 * panel_columns * W;
    const int panels = (Hp + panel - 1) / panel;  // of a gate
    const auto passed = [&](int i) {
      return typename Loop::Passed{args.h + size_t(plan.previous[i]) * Hp, args.stash + size_t(i) * slots * Hp};
    };
    unrolled::parallel_for(w.apart ? G * panels : (G * Hp + panel - 1) / panel, [&](int j) {
      if (!w.apart) return Loop::add_products(args, w, positions, passed, partial, j * panel, (j + 1) * panel);
      const int from = j % panels * panel, to = from + panel < Hp ? from + panel : Hp;
      const auto position = [](int i) { return i; };
      add_dropped_products<Cell, T>(args, masks, positions, position, partial, j / panels, j / panels + 1, from, to);
    });
  }

  // As many entries, or those of a huge page, which saves misses of the page table where most of it is used.
  static size_t in_one_page(size_t entries) {
    constexpr size_t page = unrolled::huge_page / sizeof(T);
    return entries < page / 4 || entries > page ? entries : page;
  }
  static T *zeros(T *first, size_t entries) { return static_cast<T *>(memset(first, 0, sizeof(T) * entries)); }

  static void backward(const BackwardArgs<T> &args) {
    BackwardPass pass(args);
    unrolled::parallel_for(pass.blocks, [&](int block) { pass.block(block, {}, [](int, int) {}); });
    pass.finish();
  }

  // Forward and back, some rows at a time while what they keep is near: where `above` needs no other rows. If gradients are
  // gathered, all that rows keep of their own steps stands in memory that the next rows use again.
  static void both(const ForwardArgs<T> &forward_args, const BackwardArgs<T> &args, const Above &above) {
    typename Recurrence<Cell, T>::Pass forward(forward_args);
    BackwardPass pass(args);
    const int *offset = args.plan.offset, Hp = pass.Hp;
    size_t most = 0;  // positions of a group
    for (int block = 0; block < pass.blocks; block++)
      pass.each_group(block, [&](int first, int last) {
        const size_t own = offset[last] - offset[first];
        if (own > most) most = own;
      });
    unrolled::parallel_for(pass.blocks + 2, [&](int task) {
      if (task == 0) return forward.prefix();
      if (task == 1) return pass.gathers ? pass.number() : void();
      Scratch<T> room(pass.gathers ? in_one_page((most * (slots + 2) + 2) * Hp) : 0);
      OwnSteps<T> own;
      if (pass.gathers) {
        own.stash = room, own.h = room + (most * slots + 1) * Hp;  // a row before each array's first is never read
        if (args.c) own.c = own.h + (most + 1) * Hp;
      }
      pass.block(task - 2, own, [&](int first, int last) {
        forward.rows(first, last, own);
        above.run(above.context, args.plan.order + first, last - first);
      });
    });
    pass.finish();
  }
};

}  // namespace UNROLLED_LEVEL
