/** Completion scripts, derived from the commands themselves, so that they cannot lag behind. */
import type { Command } from "commander";

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly { readonly flag: string; readonly description: string }[];
}

export function completionScript(program: Command, shell: "bash" | "zsh" | "fish"): string {
  const entries: Entry[] = program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    options: command.options.flatMap((option) =>
      option.long === undefined || option.long === null
        ? []
        : [{ flag: option.long, description: option.description }],
    ),
  }));
  switch (shell) {
    case "bash":
      return bash(entries);
    case "zsh":
      return zsh(entries);
    case "fish":
      return fish(entries);
  }
}

function bash(entries: readonly Entry[]): string {
  const names = entries.map(({ name }) => name).join(" ");
  const cases = entries.map(
    ({ name, options }) =>
      `    ${name}) words="${["--help", ...options.map(({ flag }) => flag)].join(" ")}" ;;`,
  );
  return `# bash completion for postern: source <(postern completion bash)
_postern() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} --help" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  if [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -F _postern postern
`;
}

function zsh(entries: readonly Entry[]): string {
  const commands = entries.map(({ name, summary }) => `    '${name}:${quoted(summary)}'`);
  const cases = entries.map(({ name, options }) => {
    const flags = options.map(
      ({ flag, description }) => `'${flag}[${quoted(description).replaceAll(/[[\]]/g, "")}]'`,
    );
    return `    ${name}) _arguments '--help' ${flags.join(" ")} '*:file:_files' ;;`;
  });
  return `#compdef postern
# zsh completion for postern: source <(postern completion zsh)
_postern() {
  local -a commands=(
${commands.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases.join("\n")}
  esac
}
compdef _postern postern
`;
}

function fish(entries: readonly Entry[]): string {
  const lines = entries.flatMap(({ name, summary, options }) => [
    `complete -c postern -n __fish_use_subcommand -f -a ${name} -d '${quoted(summary)}'`,
    ...options.map(
      ({ flag, description }) =>
        `complete -c postern -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)} -d '${quoted(description)}'`,
    ),
  ]);
  return `# fish completion for postern\n${lines.join("\n")}\n`;
}

function quoted(text: string): string {
  return text.replaceAll("'", "").replaceAll(":", " -");
}
