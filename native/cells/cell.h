// cell.h: what the time loop hands to a cell for one step of n rows, and what a cell tells about itself.
//
// A cell struct Cell<T> has: gates (G: groups of columns of kernel), slots (values kept a unit and step), has_c;
// pack (weights into the orders that forward and backward read); forward and backward of one step, for activations `act`; maps
// (which products give d_recurrent_kernel); x_column (where in a stash row the gradient of gate g's input stands).
//
// forward works on sums in registers: what many rows need first is computed for all of them first, so that the next row's
// arithmetic fills the time that a row's division takes.
//
// Under recurrent dropout each gate sees the state before times a mask of its own, so that the product with U is taken gate
// by gate ("apart"): pack_state, state_product and state_gradient are the one place that knows.
#pragma once
#include "../activations.h"
#include "../kernels.h"
#include "../packing.h"

namespace UNROLLED_LEVEL {

template <class T> struct Weights {
  int H, Hp;                        // units, and rounded up to W
  const T *packed, *packed2;        // recurrent kernels in the order that the pass reads; the second where a cell has two
  const T *bias;                    // packed recurrent bias or null
  bool apart;                       // recurrent kernels are packed gate by gate, for recurrent dropout
  Activation activation, recurrent_activation;
};

template <class T> struct ForwardStep {
  int n;
  const T *const *x;       // projected inputs, packed (G*Hp)
  const T *const *next;    // those of a later step, to be asked for
  const T *const *h_prev;  // (Hp)
  const T *const *c_prev;
  T *const *h;             // out
  T *const *c;             // out
  T *const *stash;         // out (slots*Hp)
  int ahead;               // steps on where stash, h and c are asked for; 0 where nothing is kept
  const T *const *const *dropped;  // if apart: for each gate, h_prev times the gate's mask (Hp)
};

template <class T> struct BackwardStep {
  int n;
  int ahead;                     // steps back where stash, h_prev and c_prev are asked for, or 0
  T *const *stash;               // in: forward's; out: gradients of pre-activations
  const T *const *h_prev, *const *c_prev, *const *h, *const *c;
  T *const *dh;                  // in: dL/dh of this step; out: of the one before
  T *const *dc;
  T *const *scratch;             // (Hp); (3*Hp) if apart
  const T *const *drop;          // if apart: the row's masks, (G, Hp)
  bool alone;                    // the shared prefix, whose steps nothing else hides
};

// Memory is asked for a unit block at a time amid a row's arithmetic: requests for all rows at once stand in line, and
// everything else behind them. Always inline: see prefetch.
constexpr int far_ahead = 4;  // steps

// What a row reads some steps on, and what it writes then, for W units from u on.
template <template <class> class Cell, class T>
__attribute__((always_inline)) static inline void ask_ahead(const Weights<T> &w, const ForwardStep<T> &s, int row, int u) {
  constexpr int W = width<T>, G = Cell<T>::gates, slots = Cell<T>::slots;
  const int later = s.ahead * w.Hp + u;
  prefetch(s.next[row] + u * G, G * W);
  prefetch<true>(s.stash[row] + later * slots, slots * W);
  prefetch<true>(s.h[row] + later, W);
  if (Cell<T>::has_c) prefetch<true>(s.c[row] + later, W);
}

template <template <class> class Cell, class T>
__attribute__((always_inline)) static inline void ask_back(const Weights<T> &w, const BackwardStep<T> &s, int row, int u) {
  constexpr int W = width<T>, slots = Cell<T>::slots;
  if (!s.ahead) return;
  const int near = w.Hp - u, far = s.ahead * w.Hp - u;
  prefetch(s.stash[row] - near * slots, slots * W), prefetch<true>(s.stash[row] - far * slots, slots * W);
  prefetch(s.h_prev[row] - near, W), prefetch<true>(s.h_prev[row] - far, W);
  if (Cell<T>::has_c) prefetch(s.c_prev[row] - near, W), prefetch<true>(s.c_prev[row] - far, W);
}

// One product of d_recurrent_kernel: rows from h_prev (stash_a < 0) or from the stash at stash_a; columns of the
// stash from b on, `columns` of them; they are gates first_gate .. first_gate+gates-1, packed [unit block][gates][W].
struct RecurrentMap {
  int stash_a, b, columns, first_gate, gates;
};

// The recurrent kernels of `gates` gates from first_gate on: for state_product, or (back) for state_gradient.
template <class T>
static void pack_state(const Weights<T> &w, const T *U, bool back, int all_gates, int first_gate, int gates, T *out) {
  const int parts = w.apart ? gates : 1, together = gates / parts;
  for (int part = 0; part < parts; part++) {
    const GateColumns columns{w.H, all_gates, first_gate + part * together, together};
    if (back)
      pack_transposed<T>(U, w.H, columns, out + size_t(part) * w.Hp * w.Hp);
    else
      pack_by_unit<T>(U, w.H, columns, out + size_t(part) * w.H * w.Hp);
  }
}

// finish(first, sums) gets init + h_prev U of gates 0 .. C-1 for W units from u on, some rows at a time (see rows_product).
// out: room for sums on their way, at column `at`, where init stands too.
template <class T, int C, class F>
static inline void state_product(const Weights<T> &w, const ForwardStep<T> &s, int u, const T *const *init, T *const *out,
                                 size_t at, const F &finish) {
  constexpr int W = width<T>;
  if (!w.apart) return rows_product<T, C>(s.n, s.h_prev, w.packed + size_t(u) * C * w.H, w.H, init, out, at, finish);
  for (int g = 0; g < C; g++)
    rows_product<T, 1>(s.n, s.dropped[g], w.packed + (size_t(g) * w.Hp + u) * w.H, w.H, init, out, at + g * W);
  for (int r = 0; r < s.n; r++) {
    Vec<T> sum[1][C];
    for (int g = 0; g < C; g++) sum[0][g] = load<T>(out[r] + at + g * W);
    finish(r, sum);
  }
}

// The columns of one gate out of a row packed [unit block][gates][W].
template <class T> static inline void take_gate(int Hp, int gates, int g, const T *row, T *out) {
  constexpr int W = width<T>;
  for (int u = 0; u < Hp; u += W) store<T>(out + u, load<T>(row + size_t(u) * gates + g * W));
}

// out = init + dz U^T for the gradients dz of gates 0 .. gates-1, which stand first in the stash: the way back to h_prev.
template <class T>
static void state_gradient(const Weights<T> &w, const BackwardStep<T> &s, int gates, const T *const *init, T *const *out) {
  constexpr int W = width<T>;
  if (s.alone && !w.apart) return lone_product<T>(s.stash[0], gates * w.Hp, w.Hp, w.packed, init ? init[0] : nullptr, out[0]);
  if (!w.apart) return panels_product<T>(s.n, s.stash, gates * w.Hp, w.Hp, w.packed, init, out);
  T *dz[most_together], *d[most_together];
  for (int r = 0; r < s.n; r++) dz[r] = s.scratch[r] + w.Hp, d[r] = s.scratch[r] + 2 * w.Hp;
  for (int g = 0; g < gates; g++) {
    for (int r = 0; r < s.n; r++) take_gate<T>(w.Hp, gates, g, s.stash[r], dz[r]);
    panels_product<T>(s.n, dz, w.Hp, w.Hp, w.packed + size_t(g) * w.Hp * w.Hp, nullptr, d);
    for (int r = 0; r < s.n; r++)
      for (int u = 0; u < w.Hp; u += W) {
        const Vec<T> before = g ? load<T>(out[r] + u) : init ? load<T>(init[r] + u) : Vec<T>{};
        store<T>(out[r] + u, before + load<T>(s.drop[r] + size_t(g) * w.Hp + u) * load<T>(d[r] + u));
      }
  }
}

}  // namespace UNROLLED_LEVEL
