/**
 * What may be told of a Redis command: its name and its keys, and never a value. Commands that are not known show nothing but
 * their name, so what is new hides too much rather than too little.
 *
 * @since 0.1.0
 */
import { cut } from "./Excerpt.ts"

/** Commands of whose arguments each is a key. */
const keysOnly =
  /^(?:DEL|EXISTS|MGET|PFCOUNT|PFMERGE|RENAME(?:NX)?|RPOPLPUSH|[SZ]?(?:DIFF|INTER|UNION)|S(?:DIFF|INTER|UNION)STORE|TOUCH|UNLINK|WATCH)$/

/** Commands of whose arguments the first is a key. */
const keyFirst = new RegExp(
  `^(?:${[
    "APPEND|BITCOUNT|BITFIELD(?:_RO)?|BITPOS|[DI][EN]CR(?:BY)?|INCRBYFLOAT|(?:GET|SET)(?:BIT|RANGE)?|GET(?:DEL|EX|SET)|P?SETEX|SETNX|STRLEN",
    "COPY|DUMP|P?EXPIRE(?:AT|TIME)?|PERSIST|P?TTL|RESTORE|SORT(?:_RO)?|TYPE",
    "H(?:DEL|EXISTS|GET(?:ALL|DEL|EX)?|INCRBY(?:FLOAT)?|KEYS|LEN|M[GS]ET|RANDFIELD|SCAN|SET(?:EX|NX)?|STRLEN|VALS|P?EXPIRE(?:AT)?|PERSIST|P?TTL)",
    "B?[LR]POP|[LR]PUSHX?|L(?:INDEX|INSERT|LEN|MOVE|POS|RANGE|REM|SET|TRIM)",
    "S(?:ADD|CARD|ISMEMBER|MEMBERS|MISMEMBER|MOVE|POP|RANDMEMBER|REM|SCAN)",
    "Z(?:ADD|CARD|COUNT|INCRBY|LEXCOUNT|MSCORE|POPMAX|POPMIN|RANDMEMBER|RANGE\\w*|REM\\w*|REVRANGE\\w*|REVRANK|RANK|SCAN|SCORE)",
    "X(?:ACK|ADD|AUTOCLAIM|CLAIM|DEL|LEN|PENDING|RANGE|REVRANGE|TRIM)",
    "GEO(?:ADD|DIST|HASH|POS|SEARCH)|PFADD|JSON\\.(?!MGET|MSET)\\w+"
  ].join("|")})$`
)

const asked = /^(?:H?GET|GET(?:DEL|EX)|H?MGET)$/

const maxArguments = 32

/**
 * Reads the command as it may be told: `GET photo:7`, `SET photo:7 ?`. Of keys that are not to be shown, it says `?`, too.
 *
 * @since 0.1.0
 */
export const read = (operation: string, args: ReadonlyArray<unknown>, showsKeys: boolean): string => {
  const keys = !showsKeys ? 0 : keysOnly.test(operation) ? args.length : keyFirst.test(operation) ? 1 : 0
  const told = args.slice(0, maxArguments).map((argument, i) => (i < keys ? cut(keyOf(argument)) : "?"))
  return [operation, ...told, ...(args.length > maxArguments ? ["…"] : [])].join(" ")
}

const keyOf = (argument: unknown): string => (typeof argument === "string" ? argument : "?")

/**
 * Whether a cache had what a command asked it for, all of it; `undefined` for commands that ask for nothing, or for all there is.
 *
 * @since 0.1.0
 */
export const hitOf = (operation: string, reply: unknown): boolean | undefined => {
  if (!asked.test(operation)) return undefined
  return [reply].flat(1).every((value) => value !== null && value !== undefined)
}

/**
 * The name of a command in capitals, as the conventions have it, of letters only.
 *
 * @since 0.1.0
 */
export const operationOf = (command: unknown): string => {
  const name = String(command).toUpperCase()
  return /^[\w.-]{1,64}$/.test(name) ? name : "_OTHER"
}
