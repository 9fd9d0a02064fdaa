#include "descriptors.h"

#include <algorithm>
#include <iterator>

namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

using FactSet = std::set<std::string>;

std::string TypeOf(const FieldDescriptor& field) {
  if (field.type() == FieldDescriptor::TYPE_MESSAGE) return field.message_type()->full_name();
  if (field.type() == FieldDescriptor::TYPE_ENUM) return field.enum_type()->full_name();
  return field.type_name();
}

std::string LabelOf(const FieldDescriptor& field) {
  if (field.is_map()) return "map ";
  if (field.is_repeated()) return field.is_packed() ? "repeated packed " : "repeated ";
  return field.has_presence() ? "with presence " : "";
}

void Add(const FieldDescriptor& field, FactSet& facts) {
  std::string fact = "field " + std::to_string(field.number()) + " of " + field.containing_type()->full_name() + ": " +
                     LabelOf(field) + TypeOf(field) + " " + field.name() + ", in JSON " + field.json_name();
  if (field.containing_oneof() != nullptr) fact += ", in oneof " + field.containing_oneof()->name();
  facts.insert(std::move(fact));
}

void Add(const EnumDescriptor& enumeration, FactSet& facts) {
  facts.insert("enum " + enumeration.full_name());
  for (int i = 0; i < enumeration.value_count(); ++i) {
    const auto& value = *enumeration.value(i);
    facts.insert("value of " + enumeration.full_name() + ": " + value.name() + " = " + std::to_string(value.number()));
  }
}

void Add(const Descriptor& message, FactSet& facts) {
  facts.insert("message " + message.full_name());
  for (int i = 0; i < message.field_count(); ++i) Add(*message.field(i), facts);
  for (int i = 0; i < message.enum_type_count(); ++i) Add(*message.enum_type(i), facts);
  // The entries of maps among them.
  for (int i = 0; i < message.nested_type_count(); ++i)
    Add(*message.nested_type(i), facts);  // NOLINT(misc-no-recursion)
}

void Add(const ServiceDescriptor& service, FactSet& facts) {
  facts.insert("service " + service.full_name());
  for (int i = 0; i < service.method_count(); ++i) {
    const MethodDescriptor& method = *service.method(i);
    facts.insert("method " + method.full_name() + "(" + (method.client_streaming() ? "stream " : "") +
                 method.input_type()->full_name() + ") returns (" + (method.server_streaming() ? "stream " : "") +
                 method.output_type()->full_name() + ")");
  }
}

}  // namespace

FactSet Facts(const google::protobuf::FileDescriptor& file) {
  FactSet facts = {"package " + file.package(), std::string("syntax ") + file.SyntaxName(file.syntax())};
  for (int i = 0; i < file.message_type_count(); ++i) Add(*file.message_type(i), facts);
  for (int i = 0; i < file.enum_type_count(); ++i) Add(*file.enum_type(i), facts);
  for (int i = 0; i < file.service_count(); ++i) Add(*file.service(i), facts);
  return facts;
}

std::string Missing(const google::protobuf::FileDescriptor& first, const google::protobuf::FileDescriptor& second) {
  const FactSet all = Facts(first);
  const FactSet others = Facts(second);
  FactSet missing;
  std::set_difference(all.begin(), all.end(), others.begin(), others.end(), std::inserter(missing, missing.end()));
  std::string lines;
  for (const std::string& fact : missing) lines += fact + "\n";
  return lines;
}
