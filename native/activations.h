// activations.h: activations by number, and their derivatives as functions of their own output y.
#pragma once
#include "kernels.h"
#include "simd.h"

namespace UNROLLED_LEVEL {

using unrolled::Activation;

// f(index of the row) -> its value is replaced by activation(value), for n rows of one vector at p[r] + at.
// The switch stands outside the loop: one branch per block of units, whatever the activation.
template <class T> static inline void activate(Activation kind, int n, T *const *p, size_t at) {
  const auto each = [&](auto f) {
    for (int r = 0; r < n; r++) store<T>(p[r] + at, f(load<T>(p[r] + at)));
  };
  const T one = 1;
  switch (kind) {
    case Activation::tanh: return each([](Vec<T> x) { return tanh_of(x); });
    case Activation::sigmoid: return each([](Vec<T> x) { return sigmoid_of(x); });
    case Activation::relu: return each([](Vec<T> x) { return at_least<T>(x, 0); });
    case Activation::linear: return;
    case Activation::hard_sigmoid:
      return each([one](Vec<T> x) { return at_least<T>(at_most<T>(x * (one / 6) + (one / 2), one), 0); });
    case Activation::softsign: return each([one](Vec<T> x) { return x / (one + (x < 0 ? -x : x)); });
  }
}

// The factor dz/dy-hat: d(activation)/dz from the output y.
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

}  // namespace UNROLLED_LEVEL
