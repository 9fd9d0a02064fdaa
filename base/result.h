// Results of fallible calls: a value or an Error, which must be looked at.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace base {

// What kind of failure this is. The names and meanings are those of gRPC's status codes, so that the CRI services can
// answer with them unchanged; nothing below cri/ depends on gRPC.
enum class Code {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// A failure that a person can read: what was being done, outermost first, then what went wrong.
class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  // An error from errno value `number`, as "doing: No such file or directory". The code follows from the number:
  // ENOENT is kNotFound, EEXIST kAlreadyExists, EACCES and EPERM kPermissionDenied, ENOSPC, EDQUOT, EMFILE, ENFILE and
  // ENOMEM kResourceExhausted, ETIMEDOUT kDeadlineExceeded, every other kInternal.
  static Error FromErrno(int number, std::string_view doing);

  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // The errno value that caused this error, 0 if it has none.
  int number() const { return number_; }

  // The same error with what was being done in front: "doing: message".
  Error Wrap(std::string_view doing) && {
    message_.insert(0, std::string(doing) + ": ");
    return std::move(*this);
  }
  // The same error with another code, for a layer that knows better what it means to the caller.
  Error WithCode(Code code) && {
    code_ = code;
    return std::move(*this);
  }

 private:
  Code code_;
  int number_ = 0;
  std::string message_;
};

// A T or an Error. value() and error() may be called only when ok() says so.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

  // The same result; where it is an error, with what was being done in front of its message.
  Result Wrap(std::string_view doing) && {
    if (ok()) return std::move(*this);
    return std::get<1>(std::move(state_)).Wrap(doing);
  }

 private:
  std::variant<T, Error> state_;
};

// Success or an Error, for calls that give nothing back. A default-made one is success.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  Result(Code code, std::string message) : error_(Error(code, std::move(message))) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

  Result Wrap(std::string_view doing) && {
    if (ok()) return {};
    return (*std::move(error_)).Wrap(doing);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

inline Status Ok() {
  return {};
}

// Takes the errno of the call that just failed.
inline Error ErrnoError(std::string_view doing) {
  return Error::FromErrno(errno, doing);
}
inline Error InvalidArgument(std::string message) {
  return {Code::kInvalidArgument, std::move(message)};
}
inline Error NotFound(std::string message) {
  return {Code::kNotFound, std::move(message)};
}
inline Error Internal(std::string message) {
  return {Code::kInternal, std::move(message)};
}

}  // namespace base

#define CRI_NSPAWN_CONCAT_INNER(a, b) a##b
#define CRI_NSPAWN_CONCAT(a, b) CRI_NSPAWN_CONCAT_INNER(a, b)

// Leaves the function with the error of `expression` (a Status or Result), else goes on.
#define RETURN_IF_ERROR(expression)                   \
  do {                                                \
    if (auto status_ = (expression); !status_.ok()) { \
      return std::move(status_).error();              \
    }                                                 \
  } while (false)

// Declares or assigns `target` from the value of `expression`, or leaves the function with its error.
#define ASSIGN_OR_RETURN(target, ...) ASSIGN_OR_RETURN_INNER(CRI_NSPAWN_CONCAT(result_, __LINE__), target, __VA_ARGS__)
#define ASSIGN_OR_RETURN_INNER(result, target, ...) \
  auto result = (__VA_ARGS__);                      \
  if (!result.ok()) {                               \
    return std::move(result).error();               \
  }                                                 \
  target = *std::move(result)
