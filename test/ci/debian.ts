// The servers of Debian that these tests start: installed where they are absent, and none as a service. One at a time does so,
// as the tests may run on Node and on Deno at once.
import { execFileSync } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"

const script = `
exec 9>"$0" && flock 9
ls /usr/bin/redis-server /usr/sbin/nats-server /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && exit 0
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm /usr/sbin/policy-rc.d' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq install -y redis-server nats-server postgresql >/dev/null`

/** Installs those that are absent. Throws with what apt-get says where it cannot. */
export const installServers = (): void =>
  void execFileSync("sh", ["-c", script, join(tmpdir(), "handspan-apt.lock")], {
    stdio: ["ignore", "ignore", "inherit"]
  })
