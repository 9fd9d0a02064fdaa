// Messages of Protocol Buffers made of an input's bytes: any bytes are some message, and few bytes a small one.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

// Takes values off the front of an input; when that is used up, each is zero or empty.
class Source {
 public:
  explicit Source(std::string_view bytes) : rest_(bytes) {}

  uint8_t Byte();
  // One that programs stumble over, or any.
  uint64_t Number();
  // One of `words`, or as many bytes as the first one says.
  std::string Text(const std::vector<std::string>& words);
  bool IsEmpty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// Adds fields to `message`, each a byte that names it and its value, until the byte 0xFF or the end.
void Fill(google::protobuf::Message& message, Source& source, const std::vector<std::string>& words, int depth = 0);

}  // namespace fuzz
