#include "base/result.h"

#include <system_error>

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
  Error error(CodeOfErrno(number), std::string(doing) + ": " + std::generic_category().message(number));
  error.number_ = number;
  return error;
}

}  // namespace base
