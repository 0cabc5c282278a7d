// dropout.h: the products over many positions when each gate sees its input times a mask of its own, constant over time.
//
// Masks stand by row of the batch and gate. A product takes the columns of one gate at a time: what it reads is copied side
// by side before, times the mask where there is one.
#pragma once
#include "cells/cell.h"

namespace UNROLLED_LEVEL {

using unrolled::BackwardArgs;
using unrolled::ForwardArgs;
using unrolled::PlanView;

// The masks of h_prev (B, G, H), padded to (B, G, Hp), and the row of the batch that each position belongs to.
template <class T> struct StateMasks {
  int gates, Hp;
  Scratch<T> masks;
  Scratch<int32_t> owner;  // (P+N,); filled by find_owners
  StateMasks(const T *drop, const PlanView &plan, int gates, int H, int Hp)
      : gates(gates), Hp(Hp), masks(drop ? size_t(plan.batch) * gates * Hp : 0),
        owner(drop ? size_t(plan.prefix) + plan.own : 0) {
    if (!drop) return;
    memset(masks, 0, sizeof(T) * plan.batch * gates * Hp);
    for (size_t i = 0; i < size_t(plan.batch) * gates; i++) memcpy(masks + i * Hp, drop + i * H, sizeof(T) * H);
  }
  const T *of_row(int b) const { return masks + size_t(b) * gates * Hp; }
  void find_owners(const PlanView &plan) const {
    for (int q = 0; q < plan.batch; q++)
      for (int i = plan.offset[q]; i < plan.offset[q + 1]; i++) owner[plan.prefix + i] = plan.order[q];
  }
};

// As Recurrence::add_products, under recurrent dropout. d: for each gate (H+1, Hp), its recurrent bias last. Gates
// [first_gate, last_gate), columns [from, to) of each.
template <template <class> class Cell, class T, class F>
static void add_dropped_products(const BackwardArgs<T> &args, const StateMasks<T> &masks, int count, const F &position, T *d,
                                 int first_gate, int last_gate, int from, int to) {
  constexpr int chunk = 64, slots = Cell<T>::slots, W = width<T>;
  const int H = args.H, Hp = masks.Hp;
  Scratch<T> a_copy(size_t(chunk) * Hp), b_copy(size_t(chunk) * Hp);
  const T *a[chunk], *b[chunk];
  RecurrentMap maps[2];
  for (int m = 0, map_count = Cell<T>::maps(Hp, maps); m < map_count; m++) {
    const RecurrentMap &map = maps[m];
    for (int gate = map.first_gate; gate < map.first_gate + map.gates; gate++) {
      if (gate < first_gate || gate >= last_gate) continue;
      T *out = d + size_t(gate) * (H + 1) * Hp;
      for (int k = 0; k < count; k += chunk) {
        const int some = count - k < chunk ? count - k : chunk;
        for (int j = 0; j < some; j++) {
          const size_t i = position(k + j);
          const T *row = args.stash + i * slots * Hp;
          T *copy = b_copy + size_t(j) * Hp;
          take_gate<T>(Hp, map.gates, gate - map.first_gate, row + map.b, copy);
          b[j] = copy + from;
          if (map.stash_a >= 0) {
            a[j] = row + map.stash_a;  // the cell has multiplied by the mask
            continue;
          }
          T *masked = a_copy + size_t(j) * Hp;
          const T *h = args.h + size_t(args.plan.previous[i]) * Hp, *mask = masks.of_row(masks.owner[i]) + size_t(gate) * Hp;
          for (int u = 0; u < Hp; u += W) store<T>(masked + u, load<T>(h + u) * load<T>(mask + u));
          a[j] = masked;
        }
        outer_product<T>(a, H, b, to - from, some, out + from, Hp);
        if (args.d_recurrent_bias) add_rows<T>(b, to - from, some, out + size_t(H) * Hp + from);
      }
    }
  }
}

template <class T> static void unpack_dropped_products(const BackwardArgs<T> &args, int G, int Hp, const T *d) {
  const int H = args.H;
  for (int g = 0; g < G; g++)
    for (int k = 0; k <= H; k++, d += Hp) {
      T *to = k < H ? args.d_recurrent_kernel + size_t(k) * G * H : args.d_recurrent_bias;
      if (to) memcpy(to + size_t(g) * H, d, sizeof(T) * H);
    }
}

}  // namespace UNROLLED_LEVEL
