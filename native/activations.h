// activations.h: the activations of a cell, and their slopes as functions of their own output y.
//
// A cell's step is written once, for an `act` with state (of the candidate and the output), gate, and their slopes.
// back_through_gate(d, d y, y) is d times the slope at a gate's output y, where d y is at hand; state_again(c, h, o) is
// state(c) on the way back, where h = o state(c) is at hand.
// Usual are those that layers have unless told otherwise, known while compiling; Any looks each vector's up by number.
#pragma once
#include "kernels.h"
#include "simd.h"

namespace UNROLLED_LEVEL {

using unrolled::Activation;

// Not inline: five of them for each of several rows would be most of a cell's code.
template <class T> __attribute__((noinline)) static Vec<T> activated(Activation kind, Vec<T> x) {
  const T one = 1;
  switch (kind) {
    case Activation::tanh: return tanh_of(x);
    case Activation::sigmoid: return sigmoid_of(x);
    case Activation::relu: return at_least<T>(x, 0);
    case Activation::linear: return x;
    case Activation::hard_sigmoid: return at_least<T>(at_most<T>(x * (one / 6) + (one / 2), one), 0);
    case Activation::softsign: return x / (one + (x < 0 ? -x : x));
  }
  return x;
}

// d(activation)/dz from the output y.
template <class T> static inline Vec<T> slope(Activation kind, Vec<T> y) {
  const T one = 1;
  switch (kind) {
    case Activation::tanh: return one - y * y;
    case Activation::sigmoid: return y * (one - y);
    case Activation::relu: return y > 0 ? all(one) : y * 0;
    case Activation::linear: return all(one) + y * 0;
    case Activation::hard_sigmoid: return (y > 0 ? (y < one ? all(one / 6) : y * 0) : y * 0);
    case Activation::softsign: {
      Vec<T> rest = one - (y < 0 ? -y : y);
      return rest * rest;
    }
  }
  return y;
}

template <class T> struct Usual {
  Vec<T> state(Vec<T> x) const { return tanh_of(x); }
  Vec<T> gate(Vec<T> x) const { return sigmoid_of(x); }
  Vec<T> state_slope(Vec<T> y) const { return slope<T>(Activation::tanh, y); }
  Vec<T> gate_slope(Vec<T> y) const { return slope<T>(Activation::sigmoid, y); }
  Vec<T> back_through_gate(Vec<T>, Vec<T> dy, Vec<T> y) const { return dy - dy * y; }
  Vec<T> state_again(Vec<T>, Vec<T> h, Vec<T> o) const { return h / o; }  // a sigmoid is never 0: see its bounds
};

template <class T> struct Any {
  Activation of_state, of_gate;
  Vec<T> state(Vec<T> x) const { return activated<T>(of_state, x); }
  Vec<T> gate(Vec<T> x) const { return activated<T>(of_gate, x); }
  Vec<T> state_slope(Vec<T> y) const { return slope<T>(of_state, y); }
  Vec<T> gate_slope(Vec<T> y) const { return slope<T>(of_gate, y); }
  Vec<T> back_through_gate(Vec<T> d, Vec<T>, Vec<T> y) const { return d * gate_slope(y); }
  Vec<T> state_again(Vec<T> c, Vec<T>, Vec<T>) const { return state(c); }
};

// f(act) with the activations of these numbers.
template <class T, class F> static inline void with_activations(Activation state, Activation gate, const F &f) {
  if (state == Activation::tanh && gate == Activation::sigmoid) return f(Usual<T>{});
  f(Any<T>{state, gate});
}

}  // namespace UNROLLED_LEVEL
