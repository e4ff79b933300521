// Loads a peer. By a name that the compiler does not follow: peers are installed by the first bench, and a clone without
// them must pass its checks. What the bench uses of them is typed where it is used.

export const load = <Module>(name: string): Promise<Module> => import(name) as Promise<Module>
