// lstm.h: z = x + h U (x = input W + b already); i, f, o = s(z), g = a(z), c' = f c + i g, h' = o a(c').
// Stash a unit: i f g o, in Keras' order i f c o; backward turns them into their pre-activations' gradients.
// Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000.
#pragma once
#include "cell.h"

namespace UNROLLED_LEVEL {

template <class T> struct Lstm {
  static constexpr int gates = 4, slots = 4;
  static constexpr bool has_c = true, recurrent_bias = false;
  static constexpr int W = width<T>;

  static void pack(const T *U, const Weights<T> &w, bool back, T *first, T *) {
    pack_state<T>(w, U, back, 4, 0, 4, first);
  }

  template <class A> static void forward(const A &act, const Weights<T> &w, const ForwardStep<T> &s) {
    for (int u = 0; u < w.Hp; u += W) {
      const size_t at = size_t(u) * 4;
      state_product<T, 4>(w, s, u, s.x, s.stash, at, [&]<int R>(int first, Vec<T> (&z)[R][4]) {
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          const int row = first + r;
          T *q = s.stash[row] + at;
          ask_ahead<Lstm>(w, s, row, u);
          const Vec<T> i = act.gate(z[r][0]), f = act.gate(z[r][1]), g = act.state(z[r][2]);
          const Vec<T> c = f * load<T>(s.c_prev[row] + u) + i * g;
          store<T>(q, i), store<T>(q + W, f), store<T>(q + 2 * W, g);
          store<T>(s.c[row] + u, c);
          z[r][0] = c;
        }
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          const Vec<T> o = act.gate(z[r][3]);
          store<T>(s.stash[first + r] + at + 3 * W, o);
          store<T>(s.h[first + r] + u, o * act.state(z[r][0]));
        }
      });
    }
  }

  template <class A> static void backward(const A &act, const Weights<T> &w, const BackwardStep<T> &s) {
    for (int r = 0; r < s.n; r++) {
      T *q = s.stash[r], *dc_row = s.dc[r];
      const T *h_row = s.h[r], *c_row = s.c[r], *c_prev = s.c_prev[r], *dh_row = s.dh[r];
      for (int u = 0; u < w.Hp; u += W, q += 4 * W) {
        ask_back<Lstm>(w, s, r, u);
        const Vec<T> i = load<T>(q), f = load<T>(q + W), g = load<T>(q + 2 * W), o = load<T>(q + 3 * W);
        const Vec<T> before = load<T>(c_prev + u), h = load<T>(h_row + u), dh = load<T>(dh_row + u);
        const Vec<T> ac = act.state_again(load<T>(c_row + u), h, o);
        const Vec<T> dc = load<T>(dc_row + u) + dh * o * act.state_slope(ac), dc_i = dc * i, dc_f = dc * f;
        store<T>(q, act.back_through_gate(dc * g, dc_i * g, i));
        store<T>(q + W, act.back_through_gate(dc * before, dc_f * before, f));
        store<T>(q + 2 * W, dc_i * act.state_slope(g));
        store<T>(q + 3 * W, act.back_through_gate(dh * ac, dh * h, o));
        store<T>(dc_row + u, dc_f);
      }
    }
    state_gradient<T>(w, s, 4, nullptr, s.dh);
  }

  static int maps(int Hp, RecurrentMap *out) {
    out[0] = {-1, 0, 4 * Hp, 0, 4};
    return 1;
  }
  static int x_column(int, int ub, int g) { return (ub * 4 + g) * W; }
};

}  // namespace UNROLLED_LEVEL
