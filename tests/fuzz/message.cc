#include "tests/fuzz/message.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <limits>

namespace fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kMostDepth = 8;
constexpr int kMostElements = 40;
constexpr uint8_t kEnd = 0xFF;

constexpr std::array<int64_t, 20> kNumbers = {0,
                                              1,
                                              -1,
                                              2,
                                              3,
                                              80,
                                              1000,
                                              1024,
                                              65535,
                                              65536,
                                              100'000,
                                              1 << 20,
                                              std::numeric_limits<int32_t>::max(),
                                              std::numeric_limits<int32_t>::min(),
                                              std::numeric_limits<uint32_t>::max(),
                                              int64_t{1} << 32,
                                              int64_t{1} << 40,
                                              std::numeric_limits<int64_t>::max(),
                                              std::numeric_limits<int64_t>::min(),
                                              -1000};

// Sets, or adds to, one field that holds no message.
void FillScalar(Message& message, const FieldDescriptor& field, Source& source, const std::vector<std::string>& words) {
  const Reflection& reflection = *message.GetReflection();
  const bool adds = field.is_repeated();
  const auto put = [&](auto set, auto add, auto value) {
    if (adds) {
      (reflection.*add)(&message, &field, value);
    } else {
      (reflection.*set)(&message, &field, value);
    }
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return put(&Reflection::SetInt32, &Reflection::AddInt32, static_cast<int32_t>(source.Number()));
    case FieldDescriptor::CPPTYPE_INT64:
      return put(&Reflection::SetInt64, &Reflection::AddInt64, static_cast<int64_t>(source.Number()));
    case FieldDescriptor::CPPTYPE_UINT32:
      return put(&Reflection::SetUInt32, &Reflection::AddUInt32, static_cast<uint32_t>(source.Number()));
    case FieldDescriptor::CPPTYPE_UINT64:
      return put(&Reflection::SetUInt64, &Reflection::AddUInt64, source.Number());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return put(&Reflection::SetDouble, &Reflection::AddDouble, static_cast<double>(source.Number()));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return put(&Reflection::SetFloat, &Reflection::AddFloat, static_cast<float>(source.Number()));
    case FieldDescriptor::CPPTYPE_BOOL:
      return put(&Reflection::SetBool, &Reflection::AddBool, (source.Byte() & 1) != 0);
    case FieldDescriptor::CPPTYPE_ENUM:
      // Numbers that there are not are kept, too.
      return put(&Reflection::SetEnumValue, &Reflection::AddEnumValue, source.Byte() % 8);
    case FieldDescriptor::CPPTYPE_STRING:
      if (adds) return reflection.AddString(&message, &field, source.Text(words));
      return reflection.SetString(&message, &field, source.Text(words));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return;
  }
}

}  // namespace

uint8_t Source::Byte() {
  if (rest_.empty()) return 0;
  const auto byte = static_cast<uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return byte;
}

uint64_t Source::Number() {
  const uint8_t kind = Byte();
  if (kind < 0x80) return static_cast<uint64_t>(kNumbers[kind % kNumbers.size()]);
  uint64_t number = 0;
  for (int i = 0; i <= kind % 8; ++i) number = number << 8 | Byte();
  return number;
}

std::string Source::Text(const std::vector<std::string>& words) {
  const uint8_t kind = Byte();
  if (kind < 0xC0) return words[kind % words.size()];
  const size_t length = std::min<size_t>(kind - 0xC0, rest_.size());
  std::string text(rest_.substr(0, length));
  // gRPC refuses messages whose texts are no UTF-8.
  for (char& c : text) c &= 0x7F;
  rest_.remove_prefix(length);
  return text;
}

void Fill(Message& message, Source& source, const std::vector<std::string>& words, int depth) {
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  while (type.field_count() > 0 && !source.IsEmpty()) {
    const uint8_t which = source.Byte();
    if (which == kEnd) return;
    const FieldDescriptor& field = *type.field(which % type.field_count());
    if (field.is_repeated() && reflection.FieldSize(message, &field) >= kMostElements) continue;
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      FillScalar(message, field, source, words);
    } else if (depth < kMostDepth) {
      Fill(
          field.is_repeated() ? *reflection.AddMessage(&message, &field) : *reflection.MutableMessage(&message, &field),
          source, words, depth + 1);
    }
  }
}

}  // namespace fuzz
