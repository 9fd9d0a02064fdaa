#include "cri/streaming/tcp_stream.h"

#include <netinet/tcp.h>

namespace cri::streaming {

bool HasFin(TcpStream& socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state == TCP_CLOSE_WAIT || info.tcpi_state == TCP_CLOSE;
}

void CutOff(TcpStream& socket) {
  error_code ignored;
  socket.close(ignored);
}

void ShutDownSending(TcpStream& socket) {
  error_code ignored;
  socket.shutdown(TcpStream::shutdown_send, ignored);
}

}  // namespace cri::streaming
