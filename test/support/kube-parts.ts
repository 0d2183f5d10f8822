/** Where the API server's binaries are. */
import { homedir } from "node:os";
import { join } from "node:path";

const CACHE = join(homedir(), ".cache", "postern", "parts");

export function kubeApiserver(): string {
  return join(CACHE, "kubernetes-1.37.2", "kube-apiserver");
}

export function kubectl(): string {
  return join(CACHE, "kubernetes-1.37.2", "kubectl");
}

export function etcd(): string {
  return join(CACHE, "etcd-3.6.8", "etcd");
}

export function natsServer(): string {
  return join(CACHE, "nats-server-2.15.2", "nats-server");
}
