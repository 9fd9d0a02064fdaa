// That the comparison with the published protocol would notice a difference.
#include "descriptors.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "proto/runtime.pb.h"

namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;
using testing::HasSubstr;

const FileDescriptor& Ours() {
  return *runtime::v1::VersionRequest::descriptor()->file();
}

DescriptorProto& MessageOf(FileDescriptorProto& file, const std::string& name) {
  for (DescriptorProto& message : *file.mutable_message_type()) {
    if (message.name() == name) return message;
  }
  ADD_FAILURE() << "no message " << name;
  return *file.mutable_message_type(0);
}

struct Change {
  std::string name;
  std::function<void(FileDescriptorProto&)> apply;
  std::string lost;  // part of the fact that is then missing
};

class DescriptorChange : public testing::TestWithParam<Change> {};

TEST_P(DescriptorChange, IsNoticed) {
  FileDescriptorProto proto;
  Ours().CopyTo(&proto);
  GetParam().apply(proto);
  DescriptorPool pool;
  const FileDescriptor* changed = pool.BuildFile(proto);
  ASSERT_NE(changed, nullptr);
  EXPECT_THAT(Missing(Ours(), *changed), HasSubstr(GetParam().lost));
}

INSTANTIATE_TEST_SUITE_P(
    Protocol, DescriptorChange,
    testing::Values(
        Change{"FieldNumber",
               [](FileDescriptorProto& file) { MessageOf(file, "VersionRequest").mutable_field(0)->set_number(2); },
               "field 1 of runtime.v1.VersionRequest: string version"},
        Change{"FieldName",
               [](FileDescriptorProto& file) { MessageOf(file, "VersionRequest").mutable_field(0)->set_name("api"); },
               "field 1 of runtime.v1.VersionRequest: string version"},
        Change{"FieldType",
               [](FileDescriptorProto& file) {
                 MessageOf(file, "VersionRequest").mutable_field(0)->set_type(FieldDescriptorProto::TYPE_BYTES);
               },
               "field 1 of runtime.v1.VersionRequest: string version"},
        Change{"Label",
               [](FileDescriptorProto& file) {
                 MessageOf(file, "VersionRequest").mutable_field(0)->set_label(FieldDescriptorProto::LABEL_REPEATED);
               },
               "field 1 of runtime.v1.VersionRequest: string version"},
        Change{
            "JsonName",
            [](FileDescriptorProto& file) { MessageOf(file, "VersionRequest").mutable_field(0)->set_json_name("v"); },
            "in JSON version"},
        Change{"ReferencedMessage",
               [](FileDescriptorProto& file) {
                 MessageOf(file, "RunPodSandboxRequest").mutable_field(0)->set_type_name(".runtime.v1.ContainerConfig");
               },
               "runtime.v1.PodSandboxConfig config"},
        Change{"MapValue",
               [](FileDescriptorProto& file) {
                 auto* value = MessageOf(file, "StatusResponse").mutable_nested_type(0)->mutable_field(1);
                 value->set_type(FieldDescriptorProto::TYPE_BYTES);
               },
               "field 2 of runtime.v1.StatusResponse.InfoEntry"},
        Change{"LackingField",
               [](FileDescriptorProto& file) { MessageOf(file, "StatusRequest").mutable_field()->Clear(); },
               "field 1 of runtime.v1.StatusRequest: bool verbose"},
        Change{"LackingMessage",
               [](FileDescriptorProto& file) {
                 MessageOf(file, "WindowsCpuGroupAffinity").set_name("Affinity");
                 MessageOf(file, "WindowsContainerResources").mutable_field(5)->set_type_name(".runtime.v1.Affinity");
               },
               "message runtime.v1.WindowsCpuGroupAffinity"},
        Change{"EnumValue",
               [](FileDescriptorProto& file) { file.mutable_enum_type(0)->mutable_value(1)->set_number(77); }, " = 1"},
        Change{"LackingEnumValue",
               [](FileDescriptorProto& file) { file.mutable_enum_type(0)->mutable_value()->RemoveLast(); },
               "value of runtime.v1."},
        Change{"LackingMethod",
               [](FileDescriptorProto& file) { file.mutable_service(0)->mutable_method()->DeleteSubrange(0, 1); },
               "method runtime.v1.RuntimeService.Version"},
        Change{"MethodInput",
               [](FileDescriptorProto& file) {
                 file.mutable_service(0)->mutable_method(0)->set_input_type(".runtime.v1.StatusRequest");
               },
               "method runtime.v1.RuntimeService.Version(runtime.v1.VersionRequest)"},
        Change{
            "Streaming",
            [](FileDescriptorProto& file) { file.mutable_service(0)->mutable_method(0)->set_server_streaming(true); },
            "method runtime.v1.RuntimeService.Version"},
        Change{"LackingService", [](FileDescriptorProto& file) { file.mutable_service()->RemoveLast(); },
               "service runtime.v1.ImageService"}),
    [](const auto& change) { return change.param.name; });

TEST(Protocol, HasTheCallsOfKubernetes136) {
  EXPECT_EQ(Ours().FindServiceByName("RuntimeService")->method_count(), 35);
  EXPECT_EQ(Ours().FindServiceByName("ImageService")->method_count(), 6);
}

TEST(Protocol, EqualsItself) {
  EXPECT_EQ(Missing(Ours(), Ours()), "");
  EXPECT_GT(Facts(Ours()).size(), 500U);
}

}  // namespace
