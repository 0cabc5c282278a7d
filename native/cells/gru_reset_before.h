// gru_reset_before.h: the GRU of the paper, reset_after=False; x = input W + b already:
//   z = s(x_z + h U_z)   r = s(x_r + h U_r)   g = a(x_h + (r h) U_h)   h' = z h + (1 - z) g
// The candidate needs r of all units, so a step has two passes. Stash of a row: [unit block][z r][W], r h (Hp), g (Hp);
// backward leaves dz dr, r h as it was, and dg.
// Source: Cho et al. 2014.
#pragma once
#include "cell.h"

namespace UNROLLED_LEVEL {

template <class T> struct GruResetBefore {
  static constexpr int gates = 3, slots = 4;
  static constexpr bool has_c = false, recurrent_bias = false;
  static constexpr int W = width<T>;

  static void pack(const T *U, const Weights<T> &w, bool back, T *first, T *second) {
    pack_state<T>(w, U, back, 3, 0, 2, first);
    pack_state<T>(w, U, back, 3, 2, 1, second);
  }

  template <class A> static void forward(const A &act, const Weights<T> &w, const ForwardStep<T> &s) {
    const T one = 1;
    const size_t rh_at = size_t(w.Hp) * 2, g_at = size_t(w.Hp) * 3;
    const T *const *h = w.apart ? s.dropped[2] : s.h_prev;  // what the candidate sees
    const T *rh[64];
    for (int r = 0; r < s.n; r++) rh[r] = s.stash[r] + rh_at;
    for (int u = 0; u < w.Hp; u += W) {
      const size_t at = size_t(u) * 2;
      state_product<T, 2>(w, s, u, nullptr, s.stash, at, [&]<int R>(int first, Vec<T> (&m)[R][2]) {
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          const int row = first + r;
          const T *x = s.x[row] + size_t(u) * 3;
          ask_ahead<GruResetBefore>(w, s, row, u);
          const Vec<T> z = act.gate(m[r][0] + load<T>(x)), reset = act.gate(m[r][1] + load<T>(x + W));
          store<T>(s.stash[row] + at, z), store<T>(s.stash[row] + at + W, reset);
          store<T>(s.stash[row] + rh_at + u, reset * load<T>(h[row] + u));
        }
      });
    }
    for (int u = 0; u < w.Hp; u += W)
      rows_product<T, 1>(s.n, rh, w.packed2 + size_t(u) * w.H, w.H, nullptr, s.stash, g_at + u,
                         [&]<int R>(int first, Vec<T> (&m)[R][1]) {
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          const int row = first + r;
          const Vec<T> g = act.state(m[r][0] + load<T>(s.x[row] + size_t(u) * 3 + 2 * W));
          const Vec<T> z = load<T>(s.stash[row] + size_t(u) * 2);
          store<T>(s.stash[row] + g_at + u, g);
          store<T>(s.h[row] + u, z * load<T>(s.h_prev[row] + u) + (one - z) * g);
        }
      });
  }

  template <class A> static void backward(const A &act, const Weights<T> &w, const BackwardStep<T> &s) {
    const T one = 1;
    const size_t g_at = size_t(w.Hp) * 3;
    const T *dg[64];
    for (int r = 0; r < s.n; r++) {
      dg[r] = s.stash[r] + g_at;
      for (int u = 0; u < w.Hp; u += W) {
        T *q = s.stash[r] + size_t(u) * 2, *p = s.stash[r] + g_at + u;
        ask_back<GruResetBefore>(w, s, r, u);
        const Vec<T> z = load<T>(q), g = load<T>(p), dh = load<T>(s.dh[r] + u);
        store<T>(p, dh * (one - z) * act.state_slope(g));
        store<T>(q, dh * (load<T>(s.h_prev[r] + u) - g) * act.gate_slope(z));
        store<T>(s.dh[r] + u, dh * z);
      }
    }
    panels_product<T>(s.n, dg, w.Hp, w.Hp, w.packed2, nullptr, s.scratch);  // d(r h)
    for (int r = 0; r < s.n; r++)
      for (int u = 0; u < w.Hp; u += W) {
        T *q = s.stash[r] + size_t(u) * 2 + W;
        const Vec<T> reset = load<T>(q);
        Vec<T> d = load<T>(s.scratch[r] + u);
        if (w.apart) d = d * load<T>(s.drop[r] + size_t(w.Hp) * 2 + u);  // the candidate's mask
        store<T>(q, d * load<T>(s.h_prev[r] + u) * act.gate_slope(reset));
        store<T>(s.dh[r] + u, load<T>(s.dh[r] + u) + d * reset);
      }
    state_gradient<T>(w, s, 2, s.dh, s.dh);
  }

  static int maps(int Hp, RecurrentMap *out) {
    out[0] = {-1, 0, 2 * Hp, 0, 2};
    out[1] = {2 * Hp, 3 * Hp, Hp, 2, 1};
    return 2;
  }
  static int x_column(int Hp, int ub, int g) { return g < 2 ? (ub * 2 + g) * W : 3 * Hp + ub * W; }
};

}  // namespace UNROLLED_LEVEL
