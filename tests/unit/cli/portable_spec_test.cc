#include "cli/portable_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nspawn/capabilities.h"
#include "nspawn/resources.h"
#include "nspawn/unit_text.h"

namespace cli {
namespace {

using base::Code;
using nspawn::NamespaceTarget;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

image::Image Web() {
  image::Image image;
  image.id = "sha256:" + std::string(64, 'a');
  image.layer_directories = {"/store/l/one", "/store/l/two"};
  image.config.entrypoint = {"/usr/sbin/nginx"};
  image.config.command = {"-g", "daemon off;"};
  image.config.environment = {"LANG=C", "MODE=plain"};
  image.config.user = "www-data";
  image.config.working_directory = "/srv";
  image.config.stop_signal = "SIGQUIT";
  image.config.volumes = {"/var/lib/data", "/cache/"};
  return image;
}

PortableRecord Record() {
  PortableRecord record;
  record.name = "web";
  record.reference = "registry.example/web:1";
  record.image = Web().id;
  return record;
}

nspawn::ContainerSpec Make(const PortableRecord& record, const image::Image& image) {
  auto spec = MakePortableSpec(record, image, cri::Config(), nullptr);
  EXPECT_TRUE(spec.ok()) << spec.error().message();
  return spec.ok() ? *spec : nspawn::ContainerSpec();
}

TEST(ServiceName, IsTheLastPartOfTheRepository) {
  EXPECT_EQ(*DefaultServiceName("docker.io/library/nginx:1.27"), "nginx");
  EXPECT_EQ(*DefaultServiceName("busybox"), "busybox");
  EXPECT_EQ(*DefaultServiceName("localhost:5000/team/my_app.x"), "my-app-x");
  EXPECT_FALSE(DefaultServiceName("UPPER//case::").ok());
}

TEST(PortableVolume, NeedsTwoPlainAbsolutePaths) {
  const auto good = ParseVolume("/srv/a:/data:ro");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->source, "/srv/a");
  EXPECT_EQ(good->destination, "/data");
  EXPECT_TRUE(good->read_only);
  for (const char* bad : {"", "/a", "a:/b", "/a:b", "/a:/", "/a/../b:/c", "/a:/b:rx", "/a:/b:ro:x"}) {
    const auto volume = ParseVolume(bad);
    ASSERT_FALSE(volume.ok()) << bad;
    EXPECT_EQ(volume.error().code(), Code::kInvalidArgument);
  }
}

TEST(PortableVolume, DirectoriesOfDifferentVolumesDiffer) {
  const PortableData data{"/w", "/v"};
  EXPECT_EQ(VolumeDirectory(data, "/var/lib/data"), "/v/var-lib-data");
  EXPECT_EQ(VolumeDirectory(data, "/var-lib/data"), "/v/var\\x2dlib-data");
  EXPECT_EQ(VolumeDirectory(data, "/.hidden"), "/v/\\x2ehidden");
  EXPECT_EQ(VolumeDirectory(data, "/" + std::string(1000, 'x')).size(), 3U + 64U);
}

TEST(PortableSpec, HasTheProcessOfTheImage) {
  const nspawn::ContainerSpec spec = Make(Record(), Web());
  EXPECT_THAT(spec.process.arguments, ElementsAre("/usr/sbin/nginx", "-g", "daemon off;"));
  EXPECT_THAT(spec.process.environment, Contains("MODE=plain"));
  EXPECT_EQ(spec.process.user.name, "www-data");
  EXPECT_EQ(spec.process.working_directory, "/srv");
  EXPECT_EQ(spec.stop_signal, "SIGQUIT");
  EXPECT_THAT(spec.process.layer_directories, ElementsAre("/store/l/one", "/store/l/two"));
  EXPECT_EQ(spec.process.upper_directory, "/var/lib/cri-nspawn/portable/data/web/aaaaaaaaaaaa/upper");
}

TEST(PortableSpec, IsConfinedAsAContainerIs) {
  const nspawn::ContainerSpec spec = Make(Record(), Web());
  EXPECT_TRUE(spec.process.no_new_privileges);
  EXPECT_TRUE(spec.process.seccomp);
  EXPECT_FALSE(spec.seccomp_program.empty());
  EXPECT_EQ(spec.process.capabilities.bounding, nspawn::kDefaultCapabilities);
  EXPECT_EQ(spec.process.capabilities.ambient, 0U);
  EXPECT_THAT(spec.process.masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(spec.process.read_only_paths, Contains("/proc/sys"));
  EXPECT_FALSE(spec.all_devices);
  EXPECT_EQ(spec.process.pid.kind, NamespaceTarget::Kind::kNew);
  EXPECT_EQ(spec.process.ipc.kind, NamespaceTarget::Kind::kNew);
  EXPECT_EQ(spec.process.shared_memory.kind, NamespaceTarget::Kind::kNew);
  EXPECT_EQ(spec.process.uts.kind, NamespaceTarget::Kind::kHost);
  EXPECT_EQ(spec.network_namespace, "");
  for (const nspawn::Mount& mount : spec.process.mounts) {
    EXPECT_EQ(mount.read_only, mount.source.starts_with("/etc/")) << mount.source;
  }
}

TEST(PortableSpec, VolumesOfTheImageAreDirectoriesOfTheHostUnlessNamed) {
  PortableRecord record = Record();
  record.volumes = {"/srv/cache:/cache"};
  const nspawn::ContainerSpec spec = Make(record, Web());
  EXPECT_THAT(spec.process.image_volumes, IsEmpty());
  std::vector<std::string> volumes;
  for (const nspawn::Mount& mount : spec.process.mounts) {
    if (!mount.source.starts_with("/etc/")) volumes.push_back(mount.source + ":" + mount.destination);
  }
  EXPECT_THAT(volumes,
              ElementsAre("/var/lib/cri-nspawn/portable/volumes/web/var-lib-data:/var/lib/data", "/srv/cache:/cache"));
}

TEST(PortableSpec, WhatWasAskedForTakesThePlaceOfTheImages) {
  PortableRecord record = Record();
  record.command = {"-t"};
  record.environment = {"MODE=other=x"};
  const nspawn::ContainerSpec spec = Make(record, Web());
  EXPECT_THAT(spec.process.arguments, ElementsAre("/usr/sbin/nginx", "-t"));
  EXPECT_THAT(spec.process.environment, Contains("MODE=other=x"));
  EXPECT_THAT(spec.process.environment, Not(Contains("MODE=plain")));
}

TEST(PortableSpec, AnExposedLowPortLetsAnyUserListenOnIt) {
  image::Image image = Web();
  image.config.exposed_ports = {"8080/tcp"};
  EXPECT_EQ(Make(Record(), image).process.capabilities.ambient, 0U);
  image.config.exposed_ports = {"8080/tcp", "80/tcp"};
  const auto bit = uint64_t{1} << *nspawn::CapabilityNumber("NET_BIND_SERVICE");
  EXPECT_EQ(Make(Record(), image).process.capabilities.ambient, bit);
}

TEST(PortableSpec, AnImageWithoutAProgramIsRefused) {
  image::Image image = Web();
  image.config.entrypoint.clear();
  image.config.command.clear();
  const auto spec = MakePortableSpec(Record(), image, cri::Config(), nullptr);
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().code(), Code::kInvalidArgument);
}

TEST(PortableSpec, ItsUnitStartsAtBootAndLogsToTheJournal) {
  nspawn::ContainerSpec spec = Make(Record(), Web());
  spec.host_service = true;
  const auto resources = nspawn::MapResources(spec.resources);
  ASSERT_TRUE(resources.ok());
  const auto text = nspawn::UnitText(spec, *resources, "/usr/lib/cri-nspawn/init");
  ASSERT_TRUE(text.ok()) << text.error().message();
  for (const char* line :
       {"WantedBy=multi-user.target\n", "StandardOutput=journal\n", "Restart=on-failure\n", "KillSignal=SIGQUIT\n",
        "DevicePolicy=closed\n", "Slice=system.slice\n", "[X-Image]\nImage=registry.example/web:1\n"}) {
    EXPECT_THAT(*text, HasSubstr(line));
  }
  EXPECT_THAT(*text, Not(HasSubstr("RemainAfterExit")));
  EXPECT_THAT(*text, Not(HasSubstr("DefaultDependencies")));
}

}  // namespace
}  // namespace cli
