// What was measured: one sample for each operation, written as a list of JSON objects.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace bench {

struct Sample {
  std::string suite;  // "start"
  std::string runtime;
  std::string what;  // "total", or a part of it: "RunPodSandbox"
  int round = 0;
  std::map<std::string, double> values;  // "seconds", "cpu" (seconds), …
};

class Samples {
 public:
  void Add(Sample sample) { samples_.push_back(std::move(sample)); }
  // Replaces the file.
  base::Status Write(const std::string& path) const;

 private:
  std::vector<Sample> samples_;
};

}  // namespace bench
