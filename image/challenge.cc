#include "image/challenge.h"

#include <cctype>

namespace image {
namespace {

bool IsTokenChar(char c) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~/=";  // '/' and '=' for what is written as token68
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || kOther.find(c) != std::string_view::npos;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool empty() const { return rest_.empty(); }

  void SkipSpace() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t')) rest_.remove_prefix(1);
  }
  void SkipSpaceAndCommas() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t' || rest_.front() == ',')) {
      rest_.remove_prefix(1);
    }
  }
  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // A name ends before "=", which separates it from its value.
  std::string Name() {
    std::string out;
    while (!rest_.empty() && rest_.front() != '=' && IsTokenChar(rest_.front())) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(rest_.front())));
      rest_.remove_prefix(1);
    }
    return out;
  }
  std::string Value() {
    std::string out;
    if (Take('"')) {
      while (!rest_.empty() && !Take('"')) {
        if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
        out += rest_.front();
        rest_.remove_prefix(1);
      }
      return out;
    }
    while (!rest_.empty() && IsTokenChar(rest_.front())) {
      out += rest_.front();
      rest_.remove_prefix(1);
    }
    return out;
  }
  void SkipOne() { rest_.remove_prefix(1); }

 private:
  std::string_view rest_;
};

}  // namespace

std::vector<Challenge> ParseChallenges(std::string_view header) {
  std::vector<Challenge> out;
  Reader reader(header);
  while (true) {
    reader.SkipSpaceAndCommas();
    if (reader.empty()) return out;
    const std::string name = reader.Name();
    reader.SkipSpace();
    if (!name.empty() && reader.Take('=')) {
      reader.SkipSpace();
      const std::string value = reader.Value();
      if (!out.empty()) out.back().parameters.emplace(name, value);
    } else if (!name.empty()) {
      out.push_back({name, {}});
    } else {
      reader.SkipOne();
    }
  }
}

}  // namespace image
