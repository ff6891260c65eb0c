%%% Lets a request in or says why not: hygiene, protocol version, what a proxy says of the client, the mount.
%%%
%%% Called by: hornbeam_stream, for each request. Calls: hornbeam_clock, hornbeam_memory, hornbeam_hygiene, hornbeam_forwarded,
%%% hornbeam_mounts.
%%%
%%% What few servers ask for stands behind one check (`plain').
-module(hornbeam_gate).

-export([settings/1, admit/2]).
-export_type([settings/0]).

-include("hornbeam.hrl").

-type settings() :: #{plain := boolean(), memory := hornbeam_memory:flag(), atom() => term()}.

%% @doc What admit/2 needs of a server's options; they do not change while it runs.
-spec settings(Config :: map()) -> settings().
settings(Config) ->
    #{forwarded_allow_ips := Trusted, drop_underscore_headers := Drop, http_version := Versions} = Config,
    Limits = maps:with([max_request_line, max_headers, max_header_size, max_head_size, relaxed_target], Config),
    Limits#{tls => maps:get(ssl, Config), plain => Trusted =:= [] andalso not Drop andalso length(lists:usort(Versions)) =:= 2,
            memory => hornbeam_memory:flag(), trusted => Trusted, drop => Drop, versions => Versions}.

%% @doc The request as the application is to see it, and its mount.
-spec admit(cowboy_req:req(), #{hornbeam := atom(), gate := settings(), _ => _}) ->
    {ok, cowboy_req:req(), hornbeam_mounts:mount()} | {refuse, hornbeam_error:reason()}.
admit(Req, #{gate := #{memory := Memory}} = Options) ->
    case hornbeam_memory:is_low(Memory) of
        false -> check(Req, Options);
        true -> {refuse, overloaded}
    end.

check(Req, #{hornbeam := Server, gate := #{plain := Plain} = Settings}) ->
    case hornbeam_clock:is_poisoned() orelse hornbeam_hygiene:check(Req, Settings) of
        ok when Plain -> find(Server, normal(Req, Settings), fun(Mount) -> Mount end);
        ok -> admit_rare(Server, normal(Req, Settings), Settings);
        true -> {refuse, malformed};
        {error, Problem} -> {refuse, Problem}
    end.

admit_rare(Server, #{version := Version} = Req0, #{trusted := Trusted, drop := Drop, versions := Versions}) ->
    case lists:member(Version, Versions) orelse Version =:= 'HTTP/1.0' of
        true ->
            Req1 = case Drop of
                true -> hornbeam_hygiene:without_underscores(Req0);
                false -> Req0
            end,
            {Req, Prefix} = hornbeam_forwarded:apply(Req1, Trusted),
            find(Server, Req, fun(Mount) -> below(Prefix, Mount) end);
        false ->
            {refuse, http_version}
    end.

find(Server, #{path := Path} = Req, Change) ->
    case hornbeam_mounts:find(Server, Path) of
        {ok, Mount} -> {ok, Req, Change(Mount)};
        error -> {refuse, not_found}
    end.

%% A proxy that has taken a prefix off the path publishes the application below it.
below(<<>>, Mount) ->
    Mount;
below(Prefix, #mount{root_path = Root, path_prefix = PathPrefix} = Mount) ->
    Mount#mount{root_path = <<Prefix/binary, Root/binary>>,
                path_prefix = <<Prefix/binary, PathPrefix/binary>>}.

normal(#{version := 'HTTP/2'} = Req, #{tls := Tls}) -> with_scheme(Tls, with_method(Req));
normal(#{headers := #{<<"http2-settings">> := _}} = Req, _Settings) -> upgraded(with_method(Req));
normal(Req, _Settings) -> with_method(Req).

%% A request that offers to go on in HTTP/2 (RFC 7540, 3.2: obsolete) is answered in it: Cowboy has already agreed, by the
%% same conditions as here, but calls the version of the request itself HTTP/1.1.
upgraded(#{version := 'HTTP/1.1', headers := #{<<"connection">> := Connection, <<"upgrade">> := Upgrade} = Headers} = Req) ->
    Options = cow_http_hd:parse_connection(Connection),
    Agreed = lists:member(<<"upgrade">>, Options) andalso lists:member(<<"http2-settings">>, Options)
        andalso lists:member(<<"h2c">>, cow_http_hd:parse_upgrade(Upgrade)),
    case Agreed of
        true ->
            Own = [<<"connection">>, <<"upgrade">>, <<"http2-settings">>],
            Req#{version := 'HTTP/2', headers := maps:without(Own, Headers)};
        false ->
            Req
    end;
upgraded(Req) ->
    Req.

%% HTTP/2 clients name a scheme; what holds is how they came, or what a trusted proxy says.
with_scheme(true, #{scheme := <<"http">>, port := Port} = Req) ->
    Req#{scheme := <<"https">>, port := case Port of 80 -> 443; _ -> Port end};
with_scheme(false, #{scheme := <<"https">>, port := Port} = Req) ->
    Req#{scheme := <<"http">>, port := case Port of 443 -> 80; _ -> Port end};
with_scheme(_Tls, Req) ->
    Req.

%% ASGI: the method is upper-case.
with_method(#{method := <<"GET">>} = Req) -> Req;
with_method(#{method := <<"POST">>} = Req) -> Req;
with_method(#{method := Method} = Req) ->
    case << <<(upper(C))>> || <<C>> <= Method >> of
        Method -> Req;
        Upper -> Req#{method := Upper}
    end.

upper(C) when C >= $a, C =< $z -> C - 32;
upper(C) -> C.
