// gru.h: the GRU as Keras has it, reset_after=True: x = input W + b, m = h U + b_r with a bias of its own;
//   z = s(x_z + m_z)   r = s(x_r + m_r)   g = a(x_h + r m_h)   h' = z h + (1 - z) g
// Stash of a row: [unit block][z r m_h][W], then g (Hp). Backward leaves dz dr d(m_h) and, in g's place, dg.
// Source: Cho et al. 2014; the variant with the reset after the product, as in cuDNN.
#pragma once
#include "cell.h"

namespace UNROLLED_LEVEL {

template <class T> struct Gru {
  static constexpr int gates = 3, slots = 4;
  static constexpr bool has_c = false, recurrent_bias = true;
  static constexpr int W = width<T>;

  static void pack(const T *U, const Weights<T> &w, bool back, T *first, T *) {
    pack_state<T>(w, U, back, 3, 0, 3, first);
  }

  template <class A> static void forward(const A &act, const Weights<T> &w, const ForwardStep<T> &s) {
    const T one = 1;
    const T *bias[64];
    for (int r = 0; r < s.n; r++) bias[r] = w.bias;
    for (int u = 0; u < w.Hp; u += W) {
      const size_t at = size_t(u) * 3, g_at = size_t(w.Hp) * 3 + u;
      state_product<T, 3>(w, s, u, w.bias ? bias : nullptr, s.stash, at, [&]<int R>(int first, Vec<T> (&m)[R][3]) {
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          T *q = s.stash[first + r] + at;
          const T *x = s.x[first + r] + at;
          ask_ahead<Gru>(w, s, first + r, u);
          const Vec<T> reset = act.gate(m[r][1] + load<T>(x + W));
          store<T>(q + W, reset), store<T>(q + 2 * W, m[r][2]);
          m[r][2] = load<T>(x + 2 * W) + reset * m[r][2];
        }
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          const int row = first + r;
          const Vec<T> z = act.gate(m[r][0] + load<T>(s.x[row] + at)), g = act.state(m[r][2]);
          store<T>(s.stash[row] + at, z), store<T>(s.stash[row] + g_at, g);
          store<T>(s.h[row] + u, z * load<T>(s.h_prev[row] + u) + (one - z) * g);
        }
      });
    }
  }

  template <class A> static void backward(const A &act, const Weights<T> &w, const BackwardStep<T> &s) {
    const T one = 1;
    for (int r = 0; r < s.n; r++)
      for (int u = 0; u < w.Hp; u += W) {
        T *q = s.stash[r] + size_t(u) * 3, *p = s.stash[r] + size_t(w.Hp) * 3 + u;
        ask_back<Gru>(w, s, r, u);
        const Vec<T> z = load<T>(q), reset = load<T>(q + W), m = load<T>(q + 2 * W), g = load<T>(p);
        const Vec<T> dh = load<T>(s.dh[r] + u);
        const Vec<T> dg = dh * (one - z) * act.state_slope(g);
        store<T>(q, dh * (load<T>(s.h_prev[r] + u) - g) * act.gate_slope(z));
        store<T>(q + W, dg * m * act.gate_slope(reset));
        store<T>(q + 2 * W, dg * reset);
        store<T>(p, dg);
        store<T>(s.dh[r] + u, dh * z);
      }
    state_gradient<T>(w, s, 3, s.dh, s.dh);
  }

  static int maps(int Hp, RecurrentMap *out) {
    out[0] = {-1, 0, 3 * Hp, 0, 3};
    return 1;
  }
  static int x_column(int Hp, int ub, int g) { return g < 2 ? (ub * 3 + g) * W : 3 * Hp + ub * W; }
};

}  // namespace UNROLLED_LEVEL
