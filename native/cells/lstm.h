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

  static void pack(const T *U, Weights<T> &w, T *forward, T *backward, T *, T *) {
    pack_state<T>(w, U, 4, 0, 4, forward, backward);
  }

  static void forward(const Weights<T> &w, const ForwardStep<T> &s) {
    for (int u = 0; u < w.Hp; u += W) {
      const size_t at = size_t(u) * 4;
      state_product<T, 4>(w, s, u, s.x, s.stash, at);
      activate<T>(w.recurrent_activation, s.n, s.stash, at);
      activate<T>(w.recurrent_activation, s.n, s.stash, at + W);
      activate<T>(w.activation, s.n, s.stash, at + 2 * W);
      activate<T>(w.recurrent_activation, s.n, s.stash, at + 3 * W);
      for (int r = 0; r < s.n; r++) {
        const T *q = s.stash[r] + at;
        const Vec<T> c = load<T>(q + W) * load<T>(s.c_prev[r] + u) + load<T>(q) * load<T>(q + 2 * W);
        store<T>(s.c[r] + u, c);
        store<T>(s.h[r] + u, c);
      }
      activate<T>(w.activation, s.n, s.h, u);
      for (int r = 0; r < s.n; r++)
        store<T>(s.h[r] + u, load<T>(s.stash[r] + at + 3 * W) * load<T>(s.h[r] + u));
    }
  }

  static void backward(const Weights<T> &w, const BackwardStep<T> &s) {
    const Activation a = w.activation, ra = w.recurrent_activation;
    for (int u = 0; u < w.Hp; u += W) {
      const size_t at = size_t(u) * 4;
      for (int r = 0; r < s.n; r++) store<T>(s.scratch[r] + u, load<T>(s.c[r] + u));
      activate<T>(a, s.n, s.scratch, u);  // a(c')
      for (int r = 0; r < s.n; r++) {
        T *q = s.stash[r] + at;
        const Vec<T> i = load<T>(q), f = load<T>(q + W), g = load<T>(q + 2 * W), o = load<T>(q + 3 * W);
        const Vec<T> ac = load<T>(s.scratch[r] + u), dh = load<T>(s.dh[r] + u);
        const Vec<T> dc = load<T>(s.dc[r] + u) + dh * o * slope<T>(a, ac);
        store<T>(q, dc * g * slope<T>(ra, i));
        store<T>(q + W, dc * load<T>(s.c_prev[r] + u) * slope<T>(ra, f));
        store<T>(q + 2 * W, dc * i * slope<T>(a, g));
        store<T>(q + 3 * W, dh * ac * slope<T>(ra, o));
        store<T>(s.dc[r] + u, dc * f);
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
