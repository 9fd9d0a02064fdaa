#include "samples.h"

#include "base/files.h"
#include "base/json.h"

namespace bench {

base::Status Samples::Write(const std::string& path) const {
  base::Json list = base::Json::array();
  for (const Sample& sample : samples_) {
    base::Json entry = {
        {"suite", sample.suite}, {"runtime", sample.runtime}, {"what", sample.what}, {"round", sample.round}};
    for (const auto& [name, value] : sample.values) entry[name] = value;
    list.push_back(std::move(entry));
  }
  return base::WriteFileAtomic(path, base::JsonText(list));
}

}  // namespace bench
