/**
 * A client's certificate → what may be decided on. Names are whole entries, read by a grammar: a search for
 * `DNS:admin` in OpenSSL's text would find it inside of another name (CVE-2021-44531, CVE-2021-44532). A name
 * that needs quoting (control characters, NUL, commas) is nobody's name, and its certificate is refused.
 */
import type { X509Certificate } from "node:crypto";
import type { ClientCertificate } from "./inbound.ts";

export type CertificateReading =
  | { readonly kind: "certificate"; readonly certificate: ClientCertificate }
  | { readonly kind: "refused"; readonly detail: string };

/** Types that OpenSSL prints. Values are plain, or JSON strings where they need quoting. */
const ENTRY =
  /(DNS|URI|email|IP Address|DirName|Registered ID|othername|X400Name|EdiPartyName):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
const DNS_NAME = /^(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*$/;
const URI = /^[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,2048}$/;
/** SPIFFE-ID §2: a trust domain and a path without empty or dot segments. */
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/;
const MAX_SPIFFE_BYTES = 2048;

export function readClientCertificate(x509: X509Certificate): CertificateReading {
  const names = readSubjectAltNames(x509.subjectAltName ?? "");
  if (names.kind === "refused") return names;
  return {
    kind: "certificate",
    certificate: {
      fingerprint: x509.fingerprint256.replaceAll(":", "").toLowerCase(),
      subject: x509.subject.replaceAll("\n", ", "),
      subjectAltNames: names.names,
      notAfterMs: x509.validToDate.getTime(),
    },
  };
}

type Names =
  | { readonly kind: "names"; readonly names: readonly string[] }
  | { readonly kind: "refused"; readonly detail: string };

/** DNS and URI entries; other types are read over, and never decide. */
export function readSubjectAltNames(text: string): Names {
  const names: string[] = [];
  let uris = 0;
  let isSpiffe = false;
  let position = 0;
  while (position < text.length) {
    ENTRY.lastIndex = position;
    const [whole = "", type, value = ""] = ENTRY.exec(text) ?? [];
    if (type === undefined || (whole.endsWith(", ") && position + whole.length === text.length)) {
      return refused("The certificate's alternative names cannot be read");
    }
    position += whole.length;
    if (type === "DNS") {
      if (!DNS_NAME.test(value) || value.length > 253) return refused(odd("DNS name"));
      names.push(`DNS:${value.toLowerCase()}`);
    } else if (type === "URI") {
      if (!URI.test(value)) return refused(odd("URI"));
      uris += 1;
      if (/^spiffe:/i.test(value)) {
        isSpiffe = true;
        if (!SPIFFE_ID.test(value) || value.length > MAX_SPIFFE_BYTES) {
          return refused(odd("SPIFFE ID"));
        }
      }
      names.push(`URI:${value}`);
    }
  }
  // X509-SVID §5.2: with a second URI, whose certificate it is depends on who reads it.
  if (isSpiffe && uris > 1) return refused("The certificate has a SPIFFE ID and another URI");
  return { kind: "names", names };
}

function odd(what: string): string {
  return `The certificate has a ${what} that is none`;
}

function refused(detail: string): Names & { readonly kind: "refused" } {
  return { kind: "refused", detail };
}
