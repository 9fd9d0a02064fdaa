// What an upgraded connection is made of below its protocol: bytes over TCP or TLS, or messages of a WebSocket over
// either.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <memory>
#include <vector>

namespace cri::streaming {

namespace asio = boost::asio;
using boost::system::error_code;

// Everything happens in the I/O thread. Completions are never called from within the call that they answer, and keep
// the object alive.
class Transport : public std::enable_shared_from_this<Transport> {
 public:
  virtual ~Transport() = default;

  // Reads what is there, at least one byte unless a message ends. `end_of_message` is only ever set on a WebSocket. One
  // read at a time.
  using ReadDone = std::function<void(error_code error, size_t size, bool end_of_message)>;
  virtual void Read(asio::mutable_buffer into, ReadDone done) = 0;

  // Writes all of it, on a WebSocket as one message. The memory must stay until then. One write at a time.
  using WriteDone = std::function<void(error_code error)>;
  virtual void Write(const std::vector<asio::const_buffer>& buffers, WriteDone done) = 0;

  // To be called when nothing is being written: tells the other end that no more will come. It can be read on until it
  // closes its side too; to cut it off earlier may lose what it has not read yet.
  virtual void Finish() = 0;
  // Cuts the connection. What is being read or written ends with an error.
  virtual void Abort() = 0;

  // Whether the other end has closed its side, as far as this can be seen without reading: what it sent before may
  // still be unread.
  virtual bool OtherEndClosed() = 0;
  // Shows the other end, where the protocol has something for it, that this end still lives while it does not read.
  virtual void KeepAlive() {}
};

}  // namespace cri::streaming
