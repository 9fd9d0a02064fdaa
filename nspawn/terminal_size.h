// The size of a terminal.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

#include "base/result.h"

namespace nspawn {

// `terminal` is either side of it.
inline base::Status SetTerminalSize(int terminal, uint16_t columns, uint16_t rows) {
  winsize size{};
  size.ws_col = columns;
  size.ws_row = rows;
  if (::ioctl(terminal, TIOCSWINSZ, &size) != 0) return base::ErrnoError("set the terminal's size");
  return base::Ok();
}

}  // namespace nspawn
