#include "image/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "image/digest.h"
#include "tar_builder.h"
#include "text_reader.h"

namespace image {
namespace {

using base::Code;
using testing::HasSubstr;

base::Result<std::string> Decompressed(const std::string& text, size_t piece) {
  TextReader input(text, piece);
  DecompressingReader reader(input);
  std::string out;
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view bytes, reader.Next());
    if (bytes.empty()) return out;
    out += bytes;
  }
}

std::string Sample() {
  std::string out;
  unsigned state = 7;
  for (int i = 0; i < 700'000; ++i) {
    state = state * 1664525u + 1013904223u;
    out += i % 3 == 0 ? 'a' : static_cast<char>(state >> 24);
  }
  return out;
}

TEST(Decompress, GivesTheContentWhateverThePieces) {
  const std::string sample = Sample();
  for (const Compression compression : {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    const std::string compressed = Compress(sample, compression);
    for (const size_t piece : {size_t{1}, size_t{3}, size_t{4096}, size_t{1} << 22}) {
      const auto out = Decompressed(compressed, piece);
      ASSERT_TRUE(out.ok()) << out.error().message();
      EXPECT_TRUE(*out == sample);
    }
    EXPECT_EQ(*Decompressed(Compress("", compression), 1), "");
  }
  EXPECT_EQ(*Decompressed("ab", 1), "ab");
}

TEST(Decompress, GoesOnWithTheNextMemberWhereverThePiecesEnd) {
  for (const Compression compression : {Compression::kGzip, Compression::kZstd}) {
    std::string members;
    for (const char* text : {"first ", "", "second ", "third"}) members += Compress(text, compression);
    for (size_t piece = 1; piece <= members.size(); ++piece) {
      const auto out = Decompressed(members, piece);
      ASSERT_TRUE(out.ok()) << piece << ": " << out.error().message();
      EXPECT_EQ(*out, "first second third") << piece;
    }
  }
}

TEST(Decompress, EveryCutIsNoticed) {
  for (const Compression compression : {Compression::kGzip, Compression::kZstd}) {
    const std::string compressed = Compress("some text that is not long", compression);
    for (size_t length = 4; length < compressed.size(); ++length) {
      const auto cut = Decompressed(compressed.substr(0, length), 7);
      ASSERT_FALSE(cut.ok()) << length;
      EXPECT_EQ(cut.error().code(), Code::kDataLoss);
    }
  }
}

TEST(Decompress, EveryRoomWillDo) {
  const std::string sample = Sample();
  for (const Compression compression : {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    for (const size_t room : {size_t{1}, size_t{7}, size_t{1} << 20}) {
      TextReader input(Compress(sample, compression), 1000);
      const auto decompressor = Decompress(input);
      std::vector<char> buffer(room);
      std::string out;
      while (true) {
        const auto bytes = decompressor->Read(buffer);
        ASSERT_TRUE(bytes.ok()) << bytes.error().message();
        if (*bytes == 0) break;
        out.append(buffer.data(), *bytes);
      }
      EXPECT_TRUE(out == sample);
    }
  }
}

TEST(Decompress, BrokenAndCutOffStreamsAreErrors) {
  const std::string sample = Sample();
  for (const Compression compression : {Compression::kGzip, Compression::kZstd}) {
    const std::string compressed = Compress(sample, compression);
    const auto cut = Decompressed(compressed.substr(0, compressed.size() - 5), 1000);
    ASSERT_FALSE(cut.ok());
    EXPECT_EQ(cut.error().code(), Code::kDataLoss);
    EXPECT_THAT(cut.error().message(), HasSubstr("cut off"));
    std::string changed = compressed;
    for (size_t i = 100; i < 200; ++i) changed[i] = static_cast<char>(changed[i] ^ 0x5A);
    // zstd without a checksum may not notice; the diff ID does.
    const auto broken = Decompressed(changed, 1000);
    EXPECT_TRUE(!broken.ok() || (compression == Compression::kZstd && *broken != sample));
    EXPECT_FALSE(Decompressed(compressed + "trailing garbage", 1000).ok());
  }
}

TEST(ByteQueue, HandsOverEverythingInOrder) {
  ByteQueue queue(3, 10, {});
  std::string out;
  std::thread reader([&] {
    while (true) {
      const auto piece = queue.Next();
      if (!piece.ok() || piece->empty()) return;
      out += *piece;
    }
  });
  std::string in;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece = std::to_string(i) + " ";
    in += piece;
    ASSERT_TRUE(queue.Push(piece).ok());
  }
  queue.Close({});
  reader.join();
  EXPECT_EQ(out, in);
}

TEST(ByteQueue, IsFilledInPlace) {
  ByteQueue queue(2, 4, {});
  std::string out;
  std::thread reader([&] {
    while (true) {
      const auto piece = queue.Next();
      if (!piece.ok() || piece->empty()) return;
      out += *piece;
    }
  });
  for (const char letter : std::string("abcdefghijk")) {
    const auto room = queue.Room();
    ASSERT_TRUE(room.ok());
    ASSERT_FALSE(room->empty());
    (*room)[0] = letter;
    queue.Filled(1);
    queue.Filled(0);
  }
  queue.Close({});
  reader.join();
  EXPECT_EQ(out, "abcdefghijk");
}

TEST(ByteQueue, TheWritersErrorReachesTheReaderAfterAllBytes) {
  ByteQueue queue(2, 10, {});
  ASSERT_TRUE(queue.Push("x").ok());
  queue.Close(base::Error(Code::kUnavailable, "gone"));
  EXPECT_EQ(*queue.Next(), "x");
  EXPECT_EQ(queue.Next().error().message(), "gone");
}

TEST(ByteQueue, AStopAndAReaderThatLeftEndTheWait) {
  std::stop_source stop;
  ByteQueue queue(1, 4, stop.get_token());
  ASSERT_TRUE(queue.Push("full").ok());
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(queue.Push("more").error().code(), Code::kCancelled);
  EXPECT_EQ(queue.Next().error().code(), Code::kCancelled);
  stopper.join();
  ByteQueue abandoned(1, 4, {});
  ASSERT_TRUE(abandoned.Push("full").ok());
  std::thread leaver([&] { abandoned.Abandon(); });
  EXPECT_EQ(abandoned.Push("more").error().code(), Code::kAborted);
  leaver.join();
}

TEST(BlobVerifier, RefusesWrongSizesAndDigests) {
  const auto check = [](const std::string& content, const std::string& digest, uint64_t size) {
    BlobVerifier verifier(digest, size);
    const base::Status updated = verifier.Update(content);
    return updated.ok() ? verifier.Finish() : updated;
  };
  EXPECT_TRUE(check("abc", Sha256("abc"), 3).ok());
  EXPECT_THAT(check("abc", Sha256("abc"), 2).error().message(), HasSubstr("longer than"));
  EXPECT_THAT(check("abc", Sha256("abc"), 4).error().message(), HasSubstr("truncated"));
  EXPECT_THAT(check("abd", Sha256("abc"), 3).error().message(), HasSubstr("wrong digest"));
  Hasher sha512("sha512");
  sha512.Update("abc");
  EXPECT_TRUE(check("abc", sha512.Finish(), 3).ok());
}

TEST(Digest, OnlyFullLowerCaseDigestsOfKnownAlgorithmsCount) {
  EXPECT_TRUE(IsDigest("sha256:" + std::string(64, '0')));
  EXPECT_TRUE(IsDigest("sha512:" + std::string(128, 'f')));
  for (const std::string& text :
       {std::string(), std::string("sha256"), std::string("sha256:"), "sha256:" + std::string(63, '0'),
        "sha256:" + std::string(64, 'A'), "md5:" + std::string(32, '0'), "sha256:" + std::string(61, '0') + "/.."}) {
    EXPECT_FALSE(IsDigest(text)) << text;
  }
}

}  // namespace
}  // namespace image
