#include "samples.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>

namespace load {

double Slope(const std::vector<Sample>& samples) {
  if (samples.size() < 2) return 0;
  double x = 0;
  double y = 0;
  for (const Sample& sample : samples) {
    x += sample.x;
    y += sample.y;
  }
  x /= static_cast<double>(samples.size());
  y /= static_cast<double>(samples.size());
  double products = 0;
  double squares = 0;
  for (const Sample& sample : samples) {
    products += (sample.x - x) * (sample.y - y);
    squares += (sample.x - x) * (sample.x - x);
  }
  return squares > 0 ? products / squares : 0;
}

std::vector<Sample> Lows(const std::vector<Sample>& samples, double width) {
  std::map<double, Sample> lows;
  for (const Sample& sample : samples) {
    const auto low = lows.try_emplace(std::floor(sample.x / width), sample).first;
    if (sample.y < low->second.y) low->second = sample;
  }
  std::vector<Sample> all;
  for (const auto& [window, low] : lows) all.push_back(low);
  return all;
}

double Quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

}  // namespace load
