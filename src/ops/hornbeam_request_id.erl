%%% The id of a request: taken from the header x-request-id, or made, and put where everybody can find it.
%%%
%%% Called by: hornbeam_observe, when the option `request_id' is on. Calls: nothing.
%%%
%%% The application finds it among the request's headers and in scope["extensions"]["hornbeam.request_id"] (the worker's server.py);
%%% what it logs carries it. One that a client chose is taken when it is short and plain, so that it cannot forge
%%% a log line; whoever does not trust clients with it lets the proxy overwrite it.
-module(hornbeam_request_id).

-export([take/1, add/2]).

-define(NAME, <<"x-request-id">>).
-define(MAX_SIZE, 128).

%% @doc The id, and the request with it in its headers.
-spec take(cowboy_req:req()) -> {binary(), cowboy_req:req()}.
take(#{headers := #{?NAME := Given} = Headers} = Req) ->
    case byte_size(Given) =< ?MAX_SIZE andalso Given =/= <<>> andalso is_plain(Given) of
        true -> {Given, Req};
        false -> made(Headers, Req)
    end;
take(#{headers := Headers} = Req) ->
    made(Headers, Req).

%% 128 random bits; not a secret, so the quick generator will do.
made(Headers, Req) ->
    Id = << <<(digit(N))>> || <<N:4>> <= rand:bytes(16) >>,
    {Id, Req#{headers := Headers#{?NAME => Id}}}.

digit(N) when N < 10 -> $0 + N;
digit(N) -> $a + N - 10.

is_plain(<<C, Rest/binary>>) when C >= $a, C =< $z; C >= $A, C =< $Z; C >= $0, C =< $9;
                                  C =:= $-; C =:= $_; C =:= $.; C =:= $:; C =:= $/; C =:= $+; C =:= $=; C =:= $@ ->
    is_plain(Rest);
is_plain(Rest) ->
    Rest =:= <<>>.

%% @doc Puts the id into a response's headers, unless the application has done so. hornbeam_headers may have made one block
%% of all fields, under the name of the first.
-spec add(binary(), cowboy:http_headers()) -> cowboy:http_headers().
add(_Id, #{?NAME := _} = Headers) ->
    Headers;
add(Id, Headers) ->
    case lists:any(fun in_block/1, maps:values(Headers)) of
        true -> Headers;
        false -> Headers#{?NAME => Id}
    end.

in_block([_First | Lines]) when is_list(Lines) -> lists:any(fun(Line) -> is_list(Line) andalso lists:member(?NAME, Line) end, Lines);
in_block(_Value) -> false.
