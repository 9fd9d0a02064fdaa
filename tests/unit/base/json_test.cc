#include "base/json.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(Json, TextIsGivenBackAsItWasParsed) {
  const auto value = ParseJsonObject(R"({"b":[1,2.5,-3,true,null],"a":{"é":"\u0000\"["}})");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(JsonText(*value), R"({"a":{"é":"\u0000\"["},"b":[1,2.5,-3,true,null]})");
}

TEST(Json, BracketsInStringsDoNotCountAsDepth) {
  EXPECT_TRUE(ParseJsonObject(R"({"a":")" + std::string(1000, '[') + R"(\"[[[["})").ok());
}

TEST(Json, DeepNestingIsRefusedBeforeItIsParsed) {
  const std::string levels(kMostJsonDepth, '[');
  const std::string ends(kMostJsonDepth, ']');
  EXPECT_TRUE(ParseJson(levels + ends).ok());
  const auto refused = ParseJson("[" + levels + ends + "]");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(), "the JSON nests deeper than 64 levels");
  EXPECT_FALSE(ParseJson(std::string(1 << 20, '[')).ok());
  EXPECT_FALSE(ParseJson(std::string(1 << 20, '{')).ok());
}

TEST(Json, MalformedTextIsRefusedWithThePlace) {
  const auto refused = ParseJsonObject("{\n  \"a\": 1,\n}");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("line 3"), std::string::npos) << refused.error().message();
  for (const std::string text :
       {"", " \n", "{", "nul", "{\"a\":\"\xff\"}", "{\"a\":1}x", "{\"a\":1e999}", "\"\\ud800\"", "{} {}"}) {
    EXPECT_FALSE(ParseJson(text).ok()) << text;
  }
  EXPECT_FALSE(ParseJson(std::string("{}\0", 3)).ok());
}

TEST(Json, OnlyObjectsAreObjects) {
  for (const char* text : {"[]", "1", "\"a\"", "null", "true"}) {
    EXPECT_TRUE(ParseJson(text).ok()) << text;
    EXPECT_FALSE(ParseJsonObject(text).ok()) << text;
  }
}

TEST(Json, TextThatIsNotUtf8IsReplacedWhenWritten) {
  EXPECT_EQ(JsonText(Json{{"a", "x\xffy"}}), "{\"a\":\"x\xef\xbf\xbdy\"}");
}

TEST(Json, AStringMemberIsAString) {
  const Json object = {{"text", "x"}, {"number", 1}};
  EXPECT_EQ(*StringMember(object, "text"), "x");
  EXPECT_EQ(*StringMember(object, "absent"), "");
  EXPECT_FALSE(StringMember(object, "number").ok());
}

}  // namespace
}  // namespace base
