// Protocol definitions as comparable text.
#pragma once

#include <google/protobuf/descriptor.h>

#include <set>
#include <string>

// Everything of a definition that clients and servers must agree on, one fact a line: messages, fields (number, name,
// type, label, JSON name), oneofs, enums and their values, services and methods with their streams.
std::set<std::string> Facts(const google::protobuf::FileDescriptor& file);

// The facts of `first` that are not in `second`, one a line; empty when there are none.
std::string Missing(const google::protobuf::FileDescriptor& first, const google::protobuf::FileDescriptor& second);
