// cell.h: what the time loop hands to a cell for one step of n rows, and what a cell tells about itself.
//
// A cell struct Cell<T> has: gates (G: groups of columns of kernel), slots (values kept a unit and step), has_c;
// pack (weights into the orders that forward and backward read); forward and backward of one step; maps (which products
// give d_recurrent_kernel); x_column (where in a stash row the gradient of gate g's input stands).
#pragma once
#include "../activations.h"
#include "../kernels.h"
#include "../product.h"

namespace UNROLLED_LEVEL {

template <class T> struct Weights {
  int H, Hp;                        // units, and rounded up to W
  const T *forward, *backward;      // packed recurrent kernels
  const T *forward2, *backward2;    // a second pair, where a cell needs one
  const T *bias;                    // packed recurrent bias or null
  Activation activation, recurrent_activation;
};

template <class T> struct ForwardStep {
  int n;
  const T *const *x;       // projected inputs, packed (G*Hp)
  const T *const *h_prev;  // (Hp)
  const T *const *c_prev;
  T *const *h;             // out
  T *const *c;             // out
  T *const *stash;         // out (slots*Hp)
};

template <class T> struct BackwardStep {
  int n;
  T *const *stash;               // in: forward's; out: gradients of pre-activations
  const T *const *h_prev, *const *c_prev, *const *h, *const *c;
  T *const *dh;                  // in: dL/dh of this step; out: of the one before
  T *const *dc;
  T *const *scratch;             // (Hp)
};

// One product of d_recurrent_kernel: rows from h_prev (stash_a < 0) or from the stash at stash_a; columns of the
// stash from b on, `columns` of them; they are gates first_gate .. first_gate+gates-1, packed [unit block][gates][W].
struct RecurrentMap {
  int stash_a, b, columns, first_gate, gates;
};

// Recurrent kernel columns of `gates` gates from first_gate on, for forward: [unit block][k][gate][W].
template <class T> static void pack_forward(const T *U, int H, int all_gates, int first_gate, int gates, T *out) {
  constexpr int W = width<T>;
  unrolled::parallel_for((H + W - 1) / W, [&](int ub) {
    T *to = out + size_t(ub) * H * gates * W;
    for (int k = 0; k < H; k++)
      for (int g = 0; g < gates; g++, to += W)
        for (int j = 0; j < W; j++) {
          const int unit = ub * W + j;
          to[j] = unit < H ? U[size_t(k) * all_gates * H + (first_gate + g) * H + unit] : T(0);
        }
  });
}

// The same columns transposed, for backward: panels of (gates*Hp in packed order, H).
template <class T> static void pack_backward(const T *U, int H, int all_gates, int first_gate, int gates, T *out) {
  constexpr int W = width<T>;
  const int Hp = round_up(H, W);
  pack_panels<T>(gates * Hp, H, out, [&](int v, int k, T *to) {
    const int unit = k / (gates * W) * W + k % W, g = k / W % gates;
    for (int j = 0; j < W; j++) {
      const int row = v * W + j;
      to[j] = row < H && unit < H ? U[size_t(row) * all_gates * H + (first_gate + g) * H + unit] : T(0);
    }
  });
}

// out = init + a B for all panels of B (K, Hp): the way back through a packed transposed kernel.
template <class T>
static void back_through(int Hp, int K, int n, const T *const *a, const T *b, const T *const *init, T *const *out) {
  constexpr int W = width<T>;
  for (int at = 0; at < Hp;) {
    const int columns = (Hp - at) / W < panel_columns ? (Hp - at) / W : panel_columns;
    rows_product<T>(columns, n, a, b + size_t(at) * K, K, init, out, at);
    at += columns * W;
  }
}

}  // namespace UNROLLED_LEVEL
