#include "nspawn/start_status.h"

#include <utility>

#include "base/text.h"

namespace nspawn {
namespace {

using base::Code;

constexpr std::pair<Code, std::string_view> kCodeNames[] = {
    {Code::kCancelled, "Canceled"},
    {Code::kUnknown, "Unknown"},
    {Code::kInvalidArgument, "InvalidArgument"},
    {Code::kDeadlineExceeded, "DeadlineExceeded"},
    {Code::kNotFound, "NotFound"},
    {Code::kAlreadyExists, "AlreadyExists"},
    {Code::kPermissionDenied, "PermissionDenied"},
    {Code::kResourceExhausted, "ResourceExhausted"},
    {Code::kFailedPrecondition, "FailedPrecondition"},
    {Code::kAborted, "Aborted"},
    {Code::kOutOfRange, "OutOfRange"},
    {Code::kUnimplemented, "Unimplemented"},
    {Code::kInternal, "Internal"},
    {Code::kUnavailable, "Unavailable"},
    {Code::kDataLoss, "DataLoss"},
    {Code::kUnauthenticated, "Unauthenticated"},
};

constexpr std::string_view kErrorPrefix = "error ";

}  // namespace

std::string_view CodeName(base::Code code) {
  for (const auto& [value, name] : kCodeNames) {
    if (value == code) return name;
  }
  return "Unknown";
}

std::string FormatStartError(const base::Error& error) {
  std::string status(kErrorPrefix);
  status += CodeName(error.code());
  status += ": ";
  status += base::Printable(error.message());
  return status;
}

std::optional<base::Error> ParseStartError(std::string_view status) {
  if (status.substr(0, kErrorPrefix.size()) != kErrorPrefix) return std::nullopt;
  status.remove_prefix(kErrorPrefix.size());
  const size_t colon = status.find(": ");
  if (colon == std::string_view::npos) return std::nullopt;
  Code code = Code::kUnknown;
  for (const auto& [value, name] : kCodeNames) {
    if (name == status.substr(0, colon)) code = value;
  }
  return base::Error(code, std::string(status.substr(colon + 2)));
}

}  // namespace nspawn
