/**
 * A view of an object of somebody else: the same in everything, but for what is done around calls of its methods.
 *
 * @since 0.1.0
 */

/**
 * What is done around a call: makes it, with these arguments or others, and gives what came of it or something in its place.
 *
 * @since 0.1.0
 */
export type Around = (
  method: string | symbol,
  args: ReadonlyArray<unknown>,
  call: (args: ReadonlyArray<unknown>) => unknown
) => unknown

/**
 * Makes a view of an object. Its methods run on the object itself, which may have private fields; one that gives the object
 * gives the view. Of what counts as its parts it gives views, too. What the object itself calls inside is not seen.
 *
 * @since 0.1.0
 */
export const view = <Target extends object>(
  target: Target,
  around: Around,
  isPart: (value: unknown) => value is object = hasNone
): Target => {
  const shown = (value: unknown): unknown =>
    value === target ? self : isPart(value) ? view(value, around, isPart) : value
  const self: Target = new Proxy(target, {
    get: (_, key) => {
      const value: unknown = Reflect.get(target, key, target)
      if (isFixed(target, key)) return value
      if (typeof value !== "function") return isPart(value) ? view(value, around, isPart) : value
      return new Proxy(value, {
        apply: (method, receiver, args) =>
          shown(
            around(key, args, (args) =>
              Reflect.apply(method as (...args: Array<unknown>) => unknown, receiver === self ? target : receiver, args)
            )
          )
      })
    },
    set: (_, key, value) => Reflect.set(target, key, value, target)
  })
  return self
}

const hasNone = (_: unknown): _ is object => false

/** A property that can never change must be given as it is (ECMAScript, Proxy [[Get]]). */
const isFixed = (target: object, key: string | symbol): boolean => {
  const property = Object.getOwnPropertyDescriptor(target, key)
  return property?.configurable === false && property.writable === false
}
