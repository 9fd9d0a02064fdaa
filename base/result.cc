#include "base/result.h"

#include <cstring>

namespace base {
namespace {

Code CodeOfErrno(int number) {
  switch (number) {
    case ENOENT:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EACCES:
    case EPERM:
      return Code::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Code::kResourceExhausted;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    default:
      return Code::kInternal;
  }
}

}  // namespace

Error Error::FromErrno(int number, std::string_view doing) {
  // Not std::generic_category(), which would bring the C++ library's exceptions and locales into the static programs.
  const char* const text = ::strerrordesc_np(number);
  Error error(CodeOfErrno(number),
              std::string(doing) + ": " + (text != nullptr ? text : "Unknown error " + std::to_string(number)));
  error.number_ = number;
  return error;
}

}  // namespace base
