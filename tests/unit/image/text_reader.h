// A text as a stream of bytes.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "image/unpack.h"

namespace image {

// Gives a text in pieces of one size, which are rarely those of the tar format.
class TextReader : public ByteReader {
 public:
  explicit TextReader(std::string text, size_t piece = 1000) : text_(std::move(text)), piece_(piece) {}
  base::Result<std::string_view> Next() override {
    const std::string_view piece = std::string_view(text_).substr(at_, piece_);
    at_ += piece.size();
    return piece;
  }

 private:
  const std::string text_;
  const size_t piece_;
  size_t at_ = 0;
};

}  // namespace image
