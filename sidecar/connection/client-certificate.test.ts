import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { authority } from "../../test/support/certificates.ts";
import { readClientCertificate, readSubjectAltNames } from "./client-certificate.ts";

describe("readSubjectAltNames()", () => {
  test.each([
    ["", []],
    ["DNS:Orders.Example", ["DNS:orders.example"]],
    ["DNS:*.example, DNS:b", ["DNS:*.example", "DNS:b"]],
    [
      "URI:spiffe://cluster.local/ns/shop/sa/web, DNS:web",
      ["URI:spiffe://cluster.local/ns/shop/sa/web", "DNS:web"],
    ],
    ["URI:https://a.example/x?y, URI:urn:b", ["URI:https://a.example/x?y", "URI:urn:b"]],
    ["IP Address:127.0.0.1, email:a@b.example, DNS:a", ["DNS:a"]],
    ['DirName:"CN = a, O = b", DNS:a', ["DNS:a"]],
    ['othername:"UPN:a, DNS:admin", DNS:a', ["DNS:a"]],
    ["Registered ID:1.2.3", []],
  ])("reads %j", (text, names) => {
    expect(readSubjectAltNames(text)).toEqual({ kind: "names", names });
  });

  test.each([
    ["a DNS name that hides another (CVE-2021-44532)", 'DNS:"a, DNS:admin"'],
    ["a DNS name with NUL", 'DNS:"good.example\\u0000.evil.example"'],
    ["a URI that hides a name (CVE-2021-44531)", 'URI:"http://a/, DNS:admin"'],
    ["an unquoted comma", "DNS:a,DNS:admin"],
    ["a quote that does not end", 'DNS:"a'],
    ["a comma at the end", "DNS:a, "],
    ["an unknown type", "NAME:a"],
    ["a type in lower case", "dns:a"],
    ["a DNS name with a space", "DNS:a b"],
    ["a DNS name with a dot at the end", "DNS:a."],
    ["an empty DNS name", "DNS:"],
    ["a star in the middle", "DNS:a.*.b"],
    ["a URI without a scheme", "URI:orders"],
    ["a SPIFFE ID in upper case", "URI:SPIFFE://cluster.local/a"],
    ["a SPIFFE ID with an empty segment", "URI:spiffe://cluster.local//a"],
    ["a SPIFFE ID with a dot segment", "URI:spiffe://cluster.local/a/../b"],
    ["a SPIFFE ID with a slash at the end", "URI:spiffe://cluster.local/a/"],
    ["a SPIFFE ID with a port", "URI:spiffe://cluster.local:443/a"],
    ["a SPIFFE ID with a query", "URI:spiffe://cluster.local/a?b"],
    ["a SPIFFE ID with percent-encoding", "URI:spiffe://cluster.local/%61"],
    ["two SPIFFE IDs", "URI:spiffe://a/b, URI:spiffe://a/c"],
    ["a SPIFFE ID and another URI", "URI:https://a/, URI:spiffe://a/c"],
  ])("refuses %s", (_title, text) => {
    expect(readSubjectAltNames(text)).toMatchObject({ kind: "refused" });
  });

  test("never finds a name within another, whatever is quoted", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), (hidden) => {
        const text = `othername:${JSON.stringify(`${hidden}, DNS:admin`)}, DNS:a`;
        expect(readSubjectAltNames(text)).toEqual({ kind: "names", names: ["DNS:a"] });
      }),
    );
  });
});

describe("readClientCertificate()", () => {
  test("has what may be decided on", async () => {
    const ca = await authority();
    const notAfter = new Date("2030-01-02T03:04:05Z");
    const { cert } = await ca.issue({
      commonName: "web",
      uris: ["spiffe://cluster.local/ns/shop/sa/web"],
      dns: ["web.shop"],
      usage: "client",
      notAfter,
    });
    expect(readClientCertificate(new X509Certificate(cert))).toEqual({
      kind: "certificate",
      certificate: {
        fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
        subject: "CN=web",
        subjectAltNames: ["DNS:web.shop", "URI:spiffe://cluster.local/ns/shop/sa/web"],
        notAfterMs: notAfter.getTime(),
      },
    });
  });

  test("refuses what OpenSSL would have to quote", async () => {
    const ca = await authority();
    const { cert } = await ca.issue({ uris: ["http://a/, DNS:admin"], usage: "client" });
    const x509 = new X509Certificate(cert);
    // Were this to change, the search for a substring would be back.
    expect(x509.subjectAltName).toContain('"');
    expect(readClientCertificate(x509).kind).toBe("refused");
  });

  test("of one without alternative names has none: the subject's name is nobody's", async () => {
    const { cert } = await (await authority()).issue({ commonName: "admin", usage: "client" });
    expect(readClientCertificate(new X509Certificate(cert))).toMatchObject({
      certificate: { subjectAltNames: [] },
    });
  });
});
