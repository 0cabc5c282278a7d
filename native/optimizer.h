// optimizer.h: one step of an optimizer on one parameter, elementwise, one pass over parameter and state.
//
// Legend: p parameter (V, D), any shape seen as rows; g gradient; rate the learning rate (Adam: corrected for the start
// at zero). Formulas: Keras 3 (unrolled/optimizers/rules.py says them in words); SGD Sutskever et al. 2013, RMSprop Tieleman
// & Hinton 2012, Adam Kingma & Ba 2015, amsgrad Reddi et al. 2018.
#pragma once
#include <cstddef>
#include <cstdint>

#include "threads.h"

namespace unrolled {

// name, number of state arrays, whether rows without gradient may take their steps later: what the arrays are
#define UNROLLED_RULES(RULE)                  \
  RULE(sgd, 0, false)                         \
  RULE(sgd_momentum, 1, true)     /* m */     \
  RULE(sgd_nesterov, 1, true)     /* m */     \
  RULE(rmsprop, 1, false)         /* v */     \
  RULE(rmsprop_momentum, 2, true) /* v, m */  \
  RULE(rmsprop_centered, 2, true) /* v, a */  \
  RULE(rmsprop_centered_momentum, 3, true)    /* v, m, a */ \
  RULE(adam, 2, true)             /* m, v */  \
  RULE(adam_amsgrad, 3, true)     /* m, v, largest v */ \
  RULE(average, 0, false)         /* p an average of weights, g the weights */

enum class Rule : int {
#define RULE(name, slots, waits) name,
  UNROLLED_RULES(RULE)
#undef RULE
};

template <class T> struct UpdateArgs {
  Rule rule;
  size_t rows, columns;  // V, D
  T *p;                  // (V, D)
  T *state[3];           // (V, D) each; null where the rule has none
  const T *g;            // (V, D), or (n, ld) with row slot[r] for row r of p
  size_t ld;
  const int32_t *slot;   // (V,), -1 for rows whose gradient is zero; or null: g is (V, D)
  T rate;
  T decay;               // first p <- p - p decay; 0 for none
  T scale;               // g <- g scale; 1 for none
  T constant[4];         // sgd: momentum; rmsprop: rho, 1 - rho, epsilon, momentum; adam: 1 - beta_1, 1 - beta_2, epsilon;
                         // average: momentum, 1 - momentum
  // A table whose rows take the steps in which they have no gradient only when they are needed, or null. Then g is (n, ld)
  // with the gradient of row row[i] of p in row i, slot is null, decay 0.
  int32_t *taken;        // (V,): how many of past_rate a row has taken
  const T *past_rate;    // (steps,): the rate of each step up to now
  int steps;
  const int32_t *row;    // (n,) distinct; null: all rows
  size_t row_count;      // n
};

template <class T> struct Optimizers {
  // One step on n parameters by one rule; first_task (n+1,): room.
  void (*update)(const UpdateArgs<T> *parameters, int n, int *first_task);
  // The same on one parameter, not started yet; null if it is too small to go on later.
  Work *(*update_later)(const UpdateArgs<T> &parameter);
  // Rows of one such table take the steps that they lack. g is not read.
  void (*catch_up)(const UpdateArgs<T> &table);
  // Whether all entries of g (rows, columns), row stride ld, are finite.
  bool (*finite)(const T *g, size_t rows, size_t columns, size_t ld);
};

}  // namespace unrolled
