// Who is signed in.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, ask, Problem } from "./api";
import { navigate } from "./router";
import type { User } from "./schema";

export function useBuildInfo() {
  return useQuery({ queryKey: ["buildinfo"], queryFn: () => ask(api.GET("/api/v1/buildinfo")), staleTime: 60_000 });
}

export function useMethods() {
  return useQuery({ queryKey: ["methods"], queryFn: () => ask(api.GET("/api/v1/login/methods")), staleTime: 60_000 });
}

/** useMe is whoever is signed in; null is nobody. */
export function useMe() {
  const cache = useQueryClient();
  return useQuery<User | null>({
    queryKey: ["me"],
    staleTime: 60_000,
    queryFn: async () => {
      try {
        // Scripts do not see the session's cookie: whether there is one is asked.
        const methods = await ask(api.GET("/api/v1/login/methods"));
        cache.setQueryData(["methods"], methods);
        if (!methods.signed_in) return null;
        return await ask(api.GET("/api/v1/users/{user}", { params: { path: { user: "me" } } }));
      } catch (err) {
        if (err instanceof Problem && err.status === 401) return null;
        throw err;
      }
    },
  });
}

export function useSignOut(): () => Promise<void> {
  const cache = useQueryClient();
  return async () => {
    // A session that is over already is what is wanted.
    await ask(api.POST("/api/v1/logout")).catch(() => undefined);
    cache.clear();
    cache.setQueryData(["me"], null);
    navigate("/login");
  };
}

/** mayOversee reports whether a role may see how the deployment is doing. */
export function mayOversee(user: User | null | undefined): boolean {
  return user?.role === "owner" || user?.role === "auditor";
}

/** mayAdminister reports whether a role may manage people. */
export function mayAdminister(user: User | null | undefined): boolean {
  return mayOversee(user) || user?.role === "user-admin";
}
