#include "plan.h"

#include <algorithm>
#include <mutex>

namespace unrolled {

namespace {

std::mutex sorting;  // two Python threads may hold one plan

void count_by_value(const int32_t *value, size_t m, int n, std::vector<int32_t> &bucket) {
  bucket.assign(n + 1, 0);
  for (size_t i = 0; i < m; i++) bucket[value[i] + 1]++;
  for (int v = 0; v < n; v++) bucket[v + 1] += bucket[v];
}

void place_by_value(const int32_t *value, size_t m, const std::vector<int32_t> &bucket, std::vector<int32_t> &by_value) {
  by_value.resize(m);
  std::vector<int32_t> next(bucket.begin(), bucket.end() - 1);
  for (size_t i = 0; i < m; i++) by_value[next[value[i]]++] = int32_t(i);
}

}  // namespace

void sort_by_value(const int32_t *value, size_t m, int n, std::vector<int32_t> &bucket,
                   std::vector<int32_t> &by_value) {
  count_by_value(value, m, n, bucket);
  place_by_value(value, m, bucket, by_value);
}

Plan make_plan(const int32_t *index, const uint8_t *mask, const int32_t *lead, int batch, int steps, int values,
               bool reverse, bool row_states) {
  Plan plan;
  plan.batch = batch, plan.steps = steps, plan.values = values, plan.reverse = reverse;
  plan.initial = row_states ? batch : 1;
  const bool share = mask == nullptr && !row_states && batch > 1;
  plan.shared.assign(batch, 0);
  int longest = 0;
  if (share)
    for (int b = 0; b < batch; b++) {
      plan.shared[b] = std::clamp(lead[b], 0, steps);
      if (plan.shared[b] > plan.shared[longest]) longest = b;
    }
  plan.prefix = batch ? plan.shared[longest] : 0;

  // Own steps of each row, and the rows by falling number of them (stable).
  std::vector<int32_t> length(batch), first_of_length(steps + 2, 0);
  for (int b = 0; b < batch; b++) {
    const uint8_t *m = mask ? mask + size_t(b) * steps : nullptr;
    length[b] = m ? int32_t(std::count_if(m, m + steps, [](uint8_t keep) { return keep != 0; })) : steps - plan.shared[b];
    first_of_length[steps - length[b] + 1]++;
  }
  for (int l = 0; l <= steps; l++) first_of_length[l + 1] += first_of_length[l];
  plan.order.resize(batch);
  for (int b = 0; b < batch; b++) plan.order[first_of_length[steps - length[b]]++] = b;
  plan.offset.assign(batch + 1, 0);
  for (int q = 0; q < batch; q++) plan.offset[q + 1] = plan.offset[q] + length[plan.order[q]];
  plan.own = plan.offset[batch];

  const int P = plan.prefix, first_initial = 1 + P + plan.own;
  plan.value.resize(size_t(P) + plan.own);
  plan.previous.resize(size_t(P) + plan.own);
  plan.start.resize(batch), plan.final_row.resize(batch), plan.last_row.resize(batch);
  const auto time = [&](int s) { return reverse ? steps - 1 - s : s; };
  for (int s = 0; s < P; s++) {
    plan.value[s] = index[size_t(longest) * steps + time(s)];
    plan.previous[s] = s == 0 ? first_initial : s;
  }
  for (int q = 0; q < batch; q++) {
    const int b = plan.order[q], shared = plan.shared[b];
    const int32_t *row = index + size_t(b) * steps;
    const uint8_t *keep = mask ? mask + size_t(b) * steps : nullptr;
    const int begin = shared > 0 ? shared : first_initial + (row_states ? b : 0);
    plan.start[q] = begin;
    int position = P + plan.offset[q], state = begin, visible = shared;  // visible: output row, 0 = blank
    if (keep) {
      for (int s = shared; s < steps; s++) {
        const int t = time(s);
        if (keep[t]) {
          plan.value[position] = row[t];
          plan.previous[position] = state;
          state = visible = ++position;
        }
      }
    } else if (shared < steps) {
      const int first = position, count = steps - shared;
      int32_t *value = plan.value.data() + first, *previous = plan.previous.data() + first;
      if (reverse)
        for (int s = 0; s < count; s++) value[s] = row[count - 1 - s];
      else
        std::copy(row + shared, row + steps, value);
      previous[0] = begin;
      for (int s = 1; s < count; s++) previous[s] = first + s;
      state = visible = first + count;
    }
    plan.final_row[b] = state;
    plan.last_row[b] = visible;
  }
  if (mask) plan.mask.assign(mask, mask + size_t(batch) * steps);
  return plan;
}

// The plan changes only once nothing can fail any more.
void Plan::count_positions() {
  std::lock_guard<std::mutex> lock(sorting);
  if (!bucket.empty()) return;
  std::vector<int32_t> ends, which(values, -1);
  count_by_value(value.data(), value.size(), values, ends);
  const int many = frequent_from(value.size());
  int found = 0;
  for (int v = 0; v < values; v++)
    if (ends[v + 1] - ends[v] >= many) which[v] = found++;
  frequent_values = found;
  frequent.swap(which);
  bucket.swap(ends);
}

void Plan::sort_positions() {
  count_positions();
  std::lock_guard<std::mutex> lock(sorting);
  if (by_value.size() == value.size()) return;
  std::vector<int32_t> sorted;
  place_by_value(value.data(), value.size(), bucket, sorted);
  by_value.swap(sorted);
}

int place_positions(const int32_t *value, size_t m, int n, int32_t *first_row, int32_t *place, int32_t *next,
                    int32_t *frequent) {
  std::fill_n(next, n, 0);
  for (size_t i = 0; i < m; i++) next[value[i]]++;
  const int many = frequent_from(m);
  int found = 0, row = 0;
  for (int v = 0; v < n; v++) {
    const int count = next[v];
    first_row[v] = next[v] = row;
    row += count;
    if (count < many) continue;
    row += 1 - count;
    frequent[found] = v;
    next[v] = ~found++;
  }
  first_row[n] = row;
  for (size_t i = 0; i < m; i++) {  // without a branch: no processor guesses which value is frequent
    const int32_t at = next[value[i]];
    place[i] = at;
    next[value[i]] = at + 1 - int32_t(uint32_t(at) >> 31);
  }
  return found;
}

std::vector<int32_t> Plan::out_index() const {
  std::vector<int32_t> seen(size_t(batch) * steps);
  for (int q = 0; q < batch; q++) {
    const size_t row = size_t(order[q]) * steps;
    int position = prefix + offset[q], visible = 0;
    for (int s = 0; s < steps; s++) {
      if (s < shared[order[q]])
        visible = 1 + s;
      else if (mask.empty() || mask[row + (reverse ? steps - 1 - s : s)])
        visible = ++position;
      seen[row + s] = visible;
    }
  }
  return seen;
}

}  // namespace unrolled
