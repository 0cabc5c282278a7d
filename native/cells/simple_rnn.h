// simple_rnn.h: h' = f(x + h U), x = input W + b already.
// Source: Elman 1990.
#pragma once
#include "cell.h"

namespace UNROLLED_LEVEL {

template <class T> struct SimpleRnn {
  static constexpr int gates = 1, slots = 1;
  static constexpr bool has_c = false, recurrent_bias = false;
  static constexpr int W = width<T>;

  static void pack(const T *U, const Weights<T> &w, bool back, T *first, T *) {
    pack_state<T>(w, U, back, 1, 0, 1, first);
  }

  template <class A> static void forward(const A &act, const Weights<T> &w, const ForwardStep<T> &s) {
    for (int u = 0; u < w.Hp; u += W)
      state_product<T, 1>(w, s, u, s.x, s.h, u, [&]<int R>(int first, Vec<T> (&z)[R][1]) {
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
          ask_ahead<SimpleRnn>(w, s, first + r, u);
          store<T>(s.h[first + r] + u, act.state(z[r][0]));
        }
      });
  }

  template <class A> static void backward(const A &act, const Weights<T> &w, const BackwardStep<T> &s) {
    for (int r = 0; r < s.n; r++)
      for (int u = 0; u < w.Hp; u += W) {
        ask_back<SimpleRnn>(w, s, r, u);
        store<T>(s.stash[r] + u, load<T>(s.dh[r] + u) * act.state_slope(load<T>(s.h[r] + u)));
      }
    state_gradient<T>(w, s, 1, nullptr, s.dh);
  }

  static int maps(int Hp, RecurrentMap *out) {
    out[0] = {-1, 0, Hp, 0, 1};
    return 1;
  }
  static int x_column(int, int ub, int) { return ub * W; }
};

}  // namespace UNROLLED_LEVEL
