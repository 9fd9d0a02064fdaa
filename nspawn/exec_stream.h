// The connection to a command that runs in a container, from the spawner's answers.
#pragma once

#include <memory>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/stream.h"

namespace nspawn {

// `answers` is our end of the request's own socket (spawner/protocol.h); the others are our non-blocking ends of the
// pipes, -1 where there is none.
std::unique_ptr<Stream> ExecWithPipes(base::UniqueFd answers, base::UniqueFd input, base::UniqueFd output,
                                      base::UniqueFd error);

// Waits for the terminal, or for the error for which there will be none.
base::Result<std::unique_ptr<Stream>> ExecWithTerminal(base::UniqueFd answers, const StreamOptions& options);

}  // namespace nspawn
