// The compressed header blocks of SPDY/3 (draft-mbelshe-httpbis-spdy-00, section 2.6.10).
#pragma once

#include <zlib.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cri::streaming {

// The headers that a stream was opened with. Names are in lower case; of a name with several values the first is kept.
using Headers = std::vector<std::pair<std::string, std::string>>;

// The value of the header `name` (in lower case), empty without one.
std::string_view HeaderValue(const Headers& headers, std::string_view name);

namespace spdy {

// Far above what Kubernetes' clients send (three short headers), and small enough that a header bomb is one harmless
// buffer.
inline constexpr size_t kMostHeaderBytes = 16 * 1024;  // after decompression
inline constexpr size_t kMostHeaders = 64;

// The blocks of one direction of a connection share one compression stream: each block must be passed, in order, also
// that of a stream which is refused.
class HeaderDecompressor {
 public:
  // Decompresses and parses one block. After an error the stream is of no more use.
  base::Result<Headers> Decompress(std::string_view block);

 private:
  struct End {
    void operator()(z_stream* stream) const;
  };
  std::unique_ptr<z_stream, End> stream_;  // made with the first block
};

class HeaderCompressor {
 public:
  HeaderCompressor();
  std::string Compress(const Headers& headers);

 private:
  struct End {
    void operator()(z_stream* stream) const;
  };
  std::unique_ptr<z_stream, End> stream_;
};

}  // namespace spdy
}  // namespace cri::streaming
